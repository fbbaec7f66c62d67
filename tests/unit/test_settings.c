/* Settings: flags over environment over defaults, and errors that say what is right. */
#include "protocol/settings.h"
#include "tests/support/test.h"

static int read_head(struct settings *s, const char *const argv[], const char *const environment[],
                     struct mob_err *err)
{
    *err = (struct mob_err){0};
    return settings_read(s, ROLE_HEAD, (char *const *)(uintptr_t)argv,
                         (char *const *)(uintptr_t)environment, err);
}

#define ARGV(...) ((const char *const[]){"mobula-head", __VA_ARGS__, NULL})
#define ENV(...)  ((const char *const[]){__VA_ARGS__, NULL})

/* A flag wins over the environment, which wins over the default. */
MOB_TEST(flags_over_environment_over_defaults)
{
    struct settings s;
    struct mob_err err;
    assert_int_equal(read_head(&s, ARGV("--listen", "ipc://@x"), ENV("PATH=/bin"), &err), MOB_OK);
    assert_int_equal(s.jobs_max, 1000);
    assert_string_equal(s.listen, "ipc://@x");
    assert_string_equal(s.log_level, "info");
    assert_string_equal(s.data, "");
    assert_int_equal(s.token_fd, -1);
    assert_int_equal(read_head(&s, ARGV("--log-level", "warn"),
                               ENV("MOBULA_JOBS_MAX=2K", "MOBULA_LOG_LEVEL=debug"), &err),
                     MOB_OK);
    assert_int_equal(s.jobs_max, 2048);
    assert_string_equal(s.log_level, "warn");
    assert_int_equal(read_head(&s, ARGV("--jobs-max=7"), ENV("MOBULA_JOBS_MAX=9"), &err), MOB_OK);
    assert_int_equal(s.jobs_max, 7);
}

/* Lists: several flags, commas; flags replace what the environment says. */
MOB_TEST(uids_are_a_list)
{
    struct settings s;
    struct mob_err err;
    assert_int_equal(read_head(&s, ARGV("--uid", "1,2", "--uid", "3"), ENV("MOBULA_UID=9"), &err),
                     MOB_OK);
    assert_int_equal(s.uid.count, 3);
    assert_int_equal(s.uid.list[2], 3);
    assert_int_equal(read_head(&s, ARGV("--log-level", "info"), ENV("MOBULA_UID=9"), &err), MOB_OK);
    assert_int_equal(s.uid.list[0], 9);
    assert_int_equal(read_head(&s, ARGV("--uid", "root"), NULL, &err), MOB_EOPTION);
}

/* What is wrong is named, with what would be right. */
MOB_TEST(errors_say_what_is_right)
{
    struct settings s;
    struct mob_err err;
    assert_int_equal(read_head(&s, ARGV("--lisen", "x"), NULL, &err), MOB_EOPTION);
    assert_non_null(strstr(err.text, "--lisen"));
    assert_non_null(strstr(err.text, " --listen"));
    assert_null(strstr(err.text, "--workers-max"));
    assert_int_equal(read_head(&s, ARGV("--workers-max", "3"), NULL, &err),
                     MOB_EOPTION); /* the node's */
    assert_int_equal(read_head(&s, ARGV("listen"), NULL, &err), MOB_EOPTION);
    assert_int_equal(read_head(&s, ARGV("--jobs-max"), NULL, &err), MOB_EOPTION);
    assert_int_equal(read_head(&s, ARGV("--log-level", "loud"), NULL, &err), MOB_EOPTION);
    assert_non_null(strstr(err.text, "debug"));
    const char *bad[] = {
        "", "x", "0", "1x", "-1", "100001", "99999999999999999999", "1KK", "18014398509481984K"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_head(&s, ARGV("--jobs-max", bad[i]), NULL, &err), MOB_EOPTION);
        assert_non_null(strstr(err.text, "from 1 to 100000"));
    }
    assert_int_equal(read_head(&s, ARGV("--log-level", "info"), ENV("MOBULA_JOBS_MAX=many"), &err),
                     MOB_EOPTION);
    assert_non_null(strstr(err.text, "MOBULA_JOBS_MAX"));
}

/* Variables of other parts are none of ours, descriptors are not taken from the environment, and a
 * misspelt one is told. */
MOB_TEST(environment_of_others)
{
    struct settings s;
    struct mob_err err;
    assert_int_equal(read_head(&s, ARGV("--log-level", "info"),
                               ENV("MOBULA_WORKERS_MAX=nonsense", "MOBULA_ADDRESS=ipc://x",
                                   "MOBULA_LOG=stderr", "MOBULA_LIFE_FD=3", "MOBULA_TEST_SEED=1"),
                               &err),
                     MOB_OK);
    assert_null(s.unknown);
    assert_int_equal(s.life_fd, -1);
    assert_int_equal(read_head(&s, ARGV("--log-level", "info"), ENV("MOBULA_JOB_MAX=1"), &err),
                     MOB_OK);
    assert_string_equal(s.unknown, "MOBULA_JOB_MAX=1");
}

/* --help wins over everything, and the usage names each setting of the role once. */
MOB_TEST(usage_names_each_setting)
{
    struct settings s;
    struct mob_err err;
    char text[8192], small[32];
    assert_int_equal(read_head(&s, ARGV("--nonsense", "--help"), NULL, &err), MOB_OK);
    assert_true(s.help);
    assert_true(settings_usage(ROLE_HEAD, text, sizeof text) < sizeof text);
    assert_non_null(strstr(text, "--listen "));
    assert_non_null(strstr(text, "(default 10000 ms)\n"));
    assert_null(strstr(text, "--store"));
    assert_true(settings_usage(ROLE_HEAD, small, sizeof small) < sizeof small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_over_environment_over_defaults),
        cmocka_unit_test(uids_are_a_list),
        cmocka_unit_test(errors_say_what_is_right),
        cmocka_unit_test(environment_of_others),
        cmocka_unit_test(usage_names_each_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
