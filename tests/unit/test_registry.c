/* test_registry.c: which tasks a process knows. */
#include "tests/support/test.h"

#include <pthread.h>

#include "libclient/registry.h"

static int run(struct mob_task *task)
{
    (void)task;
    return MOB_OK;
}

#define SLOT(T)                                                                                    \
    {                                                                                              \
        MOB_INFO(T), 0                                                                             \
    }
MOB_STRUCT(point, (double, x), (double, y));
static const struct mob_slot slots[] = {SLOT(double), SLOT(MOB_REF(point)), SLOT(mob_text)};
static struct mob_function first = {.name = "first",
                                    .signature = "",
                                    .file = "a.c",
                                    .line = 3,
                                    .arg_count = 2,
                                    .result_count = 1,
                                    .run = run,
                                    .slots = slots};

/* A static record is found by the hash of its name and of its types as they are named on the wire.
 */
MOB_TEST(records_are_found_by_id)
{
    uint64_t id = registry_id("first", "(double,*point)text");
    assert_null(registry_find(id));
    mob_function_link(&first);
    assert_int_equal(first.id, id);
    assert_ptr_equal(registry_find(id), &first);
    assert_ptr_equal(registry_find_name("first"), &first);
    assert_null(registry_find(id + 1));
    assert_null(registry_find_name("fir"));
}

/* A function without arguments and one that returns nothing have signatures too. */
MOB_TEST(ids_of_short_signatures)
{
    static const struct mob_slot none[] = {SLOT(void)};
    static struct mob_function f = {
        .name = "nothing", .file = "a.c", .result_count = 1, .slots = none, .run = run};
    mob_function_link(&f);
    assert_ptr_equal(registry_find(registry_id("nothing", "()void")), &f);
}

/* A function registered at run time has the id that the same task in C has. */
MOB_TEST(run_time_registration)
{
    int user;
    struct mob_error err;
    char name[] = "script", signature[] = "(double)double";
    const struct mob_function *f = mob_function_register(name, signature, 1, 1, run, &user, &err);
    memset(name, 'x', 3);
    assert_non_null(f);
    assert_string_equal(f->name, "script");
    assert_ptr_equal(registry_find(registry_id("script", "(double)double")), f);
    assert_ptr_equal(f->user, &user);
    assert_null(mob_function_register("script", "()void", 0, 1, run, NULL, &err));
    assert_int_equal(err.code, MOB_EDUPLICATE);
    assert_null(mob_function_register("", "()void", 0, 1, run, NULL, &err));
    assert_int_equal(err.code, MOB_EINVAL);
    assert_null(mob_function_register("none", "()", 0, 0, run, NULL, NULL));
}

/* Linking does not disturb who looks at the same time, and nothing is lost. */
enum { THREADS = 4, EACH = 500 };
static struct mob_function many[THREADS][EACH];
static char names[THREADS][EACH][16];

static void *link_many(void *user)
{
    size_t thread = (size_t)(uintptr_t)user - 1;
    for (size_t i = 0; i < EACH; i++) {
        snprintf(names[thread][i], sizeof names[thread][i], "many_%zu_%zu", thread, i);
        many[thread][i] = (struct mob_function){.name = names[thread][i],
                                                .signature = "()void",
                                                .file = "many.c",
                                                .result_count = 1,
                                                .run = run};
        mob_function_link(&many[thread][i]);
        if (registry_find(many[thread][i].id) != &many[thread][i])
            return user;
    }
    return NULL;
}

MOB_TEST(linking_from_many_threads)
{
    pthread_t threads[THREADS];
    size_t before = 0, after = 0;
    for (const struct mob_function *f = registry_next(NULL); f != NULL; f = registry_next(f))
        before++;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, link_many, (void *)(uintptr_t)(i + 1)),
                         0);
    for (size_t i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (const struct mob_function *f = registry_next(NULL); f != NULL; f = registry_next(f))
        after++;
    assert_int_equal(after, before + THREADS * EACH);
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < EACH; k++)
            assert_ptr_equal(registry_find(many[i][k].id), &many[i][k]);
}

/* Two tasks of one name, even with other types, are an error that names both places. Last, since
 * nothing is unlinked. */
MOB_TEST(duplicates_name_both_files)
{
    static struct mob_function again = {.name = "first",
                                        .signature = "()void",
                                        .file = "dir/b.c",
                                        .line = 14,
                                        .result_count = 1,
                                        .run = run};
    struct mob_err err;
    assert_int_equal(registry_check(&err), MOB_OK);
    mob_function_link(&again);
    assert_int_equal(registry_check(&err), MOB_EDUPLICATE);
    assert_non_null(strstr(err.text, "first"));
    assert_non_null(strstr(err.text, "a.c:3"));
    assert_non_null(strstr(err.text, "dir/b.c:14"));
    assert_int_equal(registry_check(NULL), MOB_EDUPLICATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_found_by_id),    cmocka_unit_test(ids_of_short_signatures),
        cmocka_unit_test(run_time_registration),      cmocka_unit_test(linking_from_many_threads),
        cmocka_unit_test(duplicates_name_both_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
