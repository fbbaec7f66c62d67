/* check.h: the frame of a user's program that is a test: one of several named cases, chosen by its
 * first argument. A case starts a cluster, calls Mobula, and checks what comes back; the program's
 * status says whether all was right. */
#ifndef MOB_TEST_PROGRAMS_CHECK_H
#define MOB_TEST_PROGRAMS_CHECK_H
#include <mobula.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SOON 20000 /* ms: longer than anything takes that works */

#define CHECK(truth)                                                                               \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\nlast error: %s\n", __FILE__, __LINE__, #truth,   \
                    mob_last_error()->text);                                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The call fails with this code, and its text has these words. */
#define CHECK_FAILS(call, wanted, words)                                                           \
    do {                                                                                           \
        int got_ = (call);                                                                         \
        if (got_ != (wanted) || mob_last_error()->code != (wanted) ||                              \
            strstr(mob_last_error()->text, (words)) == NULL) {                                     \
            fprintf(stderr, "%s:%d: %s gave %s, not %s with \"%s\"; last error: %s: %s\n",         \
                    __FILE__, __LINE__, #call, mob_error_name(got_), mob_error_name(wanted),       \
                    (words), mob_error_name(mob_last_error()->code), mob_last_error()->text);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int *check_argc;
static char ***check_argv;

/* START(.cpus = 1): a private cluster with these settings, or that of MOBULA_ADDRESS. */
#define START(...)                                                                                 \
    CHECK(mob_init(check_argc, check_argv,                                                         \
                   &(const struct mob_config){.size = sizeof(struct mob_config), __VA_ARGS__}) ==  \
          MOB_OK)

struct check_case {
    const char *name;
    void (*run)(void);
};

static inline int64_t check_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* argv[2], for cases that take something more; "" if there is none. */
static inline const char *check_argument(void)
{
    return *check_argc > 2 ? (*check_argv)[2] : "";
}

static inline int check_main(int *argc, char ***argv, const struct check_case *cases)
{
    check_argc = argc;
    check_argv = argv;
    if (mob_is_worker())
        START(); /* does not return */
    for (; cases->name != NULL; cases++)
        if (*argc > 1 && strcmp(cases->name, (*argv)[1]) == 0) {
            cases->run();
            mob_shutdown();
            return 0;
        }
    fprintf(stderr, "no such case\n");
    return 2;
}
#endif
