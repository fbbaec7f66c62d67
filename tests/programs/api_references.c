/* api_references.c: references as values and as references, several results, put, copy, drop,
 * waiting, and completions that a poll loop reads. */
#include "tests/programs/check.h"

#include <poll.h>

MOB_TASK(int64_t, add, (int64_t, a), (int64_t, b))
{
    return a + b;
}

/* Ends when the file `gate` exists: how a test holds a task back. */
MOB_TASK(int64_t, gated, (mob_text, gate), (int64_t, x))
{
    while (access(gate, F_OK) != 0)
        usleep(1000);
    return x;
}

static char gate[256];

static void gate_close(void)
{
    const char *dir = getenv("TMPDIR");
    snprintf(gate, sizeof gate, "%s/mobula-gate-%d", dir != NULL ? dir : "/tmp", getpid());
    unlink(gate);
}

static void gate_open(void)
{
    FILE *file = fopen(gate, "w");
    CHECK(file != NULL);
    fclose(file);
}

static MOB_REF(int64_t) number(int64_t x)
{
    return mob_remote(add, x, 0);
}

/* ---- references as arguments ---- */

MOB_TASK(int64_t, inner, (MOB_REF(int64_t), r), (int64_t, more))
{
    int64_t x = -1;
    if (mob_get(r, &x, SOON) != MOB_OK)
        return mob_fail(1, "%s", mob_last_error()->text), 0;
    return x + more;
}

/* A reference to the argument of a task is used for a call of its own. */
MOB_TASK(int64_t, passed_on, (MOB_REF(int64_t), r))
{
    int64_t x = -1;
    if (mob_get(mob_remote(add, r, mob_remote(inner, r, 1)), &x, SOON) != MOB_OK)
        return mob_fail(1, "%s", mob_last_error()->text), 0;
    return x;
}

static void arguments(void)
{
    START(.cpus = 2);
    int64_t x;
    MOB_REF(int64_t) a = number(20), b = mob_put(int64_t, 22);
    CHECK(mob_take(mob_remote(add, a, b), &x, SOON) == MOB_OK && x == 42);
    CHECK(mob_take(mob_remote(add, a, a), &x, SOON) == MOB_OK && x == 40);
    CHECK(mob_take(mob_remote(inner, a, 1), &x, SOON) == MOB_OK && x == 21);
    CHECK(mob_take(mob_remote(inner, b, a), &x, SOON) == MOB_OK && x == 42);
    CHECK(mob_take(mob_remote(passed_on, a), &x, SOON) == MOB_OK && x == 41);
    /* To one that does not exist yet: a value waits for it, a reference does not. */
    gate_close();
    MOB_REF(int64_t) late = mob_remote(gated, (mob_text)gate, 5);
    MOB_REF(int64_t) value = mob_remote(add, late, 1), reference = mob_remote(inner, late, 2);
    CHECK(mob_get(value, &x, 0) == MOB_EAGAIN || mob_last_error()->code == MOB_ETIMEDOUT);
    gate_open();
    CHECK(mob_take(value, &x, SOON) == MOB_OK && x == 6);
    CHECK(mob_take(reference, &x, SOON) == MOB_OK && x == 7);
    unlink(gate);
}

/* ---- several results ---- */

MOB_TASK_RESULTS(divide, ((int64_t, quotient), (int64_t, rest), (mob_text, text)), (int64_t, a),
                 (int64_t, b))
{
    if (b == 0) {
        mob_fail(3, "division of %d by zero", (int)a);
        return;
    }
    results->quotient = a / b;
    results->rest = a % b;
    results->text = mob_format("%d/%d", (int)a, (int)b);
}

static void several(void)
{
    START(.cpus = 2);
    int64_t x;
    mob_text text;
    MOB_REFS(divide) r = mob_remote(divide, number(17), 5);
    CHECK(mob_get(r.rest, &x, SOON) == MOB_OK && x == 2);
    CHECK(mob_take(mob_remote(add, r.quotient, r.rest), &x, SOON) == MOB_OK && x == 5);
    CHECK(mob_get(r.text, &text, SOON) == MOB_OK && strcmp(text, "17/5") == 0);
    mob_drop(r.rest);
    CHECK(mob_take(r.quotient, &x, SOON) == MOB_OK && x == 3 && strcmp(text, "17/5") == 0);
    mob_drop(r.text);
    r = mob_remote(divide, 1, 0);
    CHECK_FAILS(mob_get(r.rest, &x, SOON), MOB_ETASKFAILED, "division of 1 by zero");
    CHECK_FAILS(mob_get(r.text, &text, SOON), MOB_ETASKFAILED, "division of 1 by zero");
    CHECK(mob_last_error()->user_code == 3);
}

/* ---- waiting ---- */

static unsigned ready_count(const bool *ready, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        count += ready[i];
    return count;
}

static void waiting(void)
{
    enum { N = 6 };
    START(.cpus = 2);
    MOB_REF(int64_t) refs[N];
    int64_t x, all[N];
    bool ready[N];
    gate_close();
    for (int i = 0; i < N; i++)
        refs[i] = i == 2 ? mob_remote(gated, (mob_text)gate, i) : number(i);
    CHECK(mob_wait(refs, N, N - 1, SOON, ready) == MOB_OK && ready_count(ready, N) == N - 1 &&
          !ready[2]);
    CHECK(mob_wait(refs, N, 1, 0, ready) == MOB_OK && ready_count(ready, N) == N - 1);
    CHECK(mob_wait(refs, N, 0, 0, ready) == MOB_OK);
    int64_t start = check_now_ms();
    memset(ready, 0, sizeof ready);
    CHECK(mob_wait(refs, N, N, 30, ready) == MOB_ETIMEDOUT && ready_count(ready, N) == N - 1);
    CHECK(check_now_ms() - start >= 29 && check_now_ms() - start < SOON / 2);
    CHECK(mob_wait(refs, N, N, 0, ready) == MOB_ETIMEDOUT);
    start = check_now_ms();
    CHECK(mob_get(refs[2], &x, 30) == MOB_ETIMEDOUT && check_now_ms() - start >= 29);
    CHECK(mob_take(refs[2], &x, 0) == MOB_ETIMEDOUT); /* and still ours */
    CHECK(mob_get_all(refs, N, all, 1) == MOB_ETIMEDOUT);
    gate_open();
    CHECK(mob_get_all(refs, N, all, SOON) == MOB_OK);
    for (int i = 0; i < N; i++)
        CHECK(all[i] == i);
    CHECK(mob_wait(refs, N, N, 0, ready) == MOB_OK && ready_count(ready, N) == N);
    CHECK(mob_get(refs[2], &x, 0) == MOB_OK && x == 2);
    /* More than there are is a mistake; a reference may be there twice. */
    CHECK(mob_wait(refs, N, N + 1, 0, ready) == MOB_EINVAL);
    refs[3] = refs[4];
    CHECK(mob_wait(refs, N, N, SOON, ready) == MOB_OK);
    MOB_REF(int64_t) none = MOB_NO_REF;
    CHECK(mob_get(none, &x, 0) == MOB_ENOOBJECT);
    unlink(gate);
}

/* ---- copy and drop ---- */

static void copies(void)
{
    START(.cpus = 2);
    mob_text text;
    int64_t x;
    MOB_REF(mob_text) a = mob_put(mob_text, "a text"), b = mob_copy(a);
    mob_drop(a);
    CHECK(mob_get(b, &text, SOON) == MOB_OK && strcmp(text, "a text") == 0);
    mob_drop(b);
    MOB_REF(int64_t) n = number(1);
    for (int i = 0; i < 1000; i++) /* dropped while the task waits or runs: its arguments stay */
        n = mob_remote(add, mob_move(n), mob_move(mob_put(int64_t, 1)));
    mob_drop(mob_remote(add, 1, 2));
    mob_drop(((MOB_REF(int64_t))MOB_NO_REF));
    CHECK(mob_take(n, &x, SOON) == MOB_OK && x == 1001);
}

/* ---- graphs ---- */

static void diamond(void)
{
    enum { N = 1000 };
    static MOB_REF(int64_t) all[2 * N];
    START(.cpus = 2);
    int64_t x;
    MOB_REF(int64_t) top = number(1);
    for (int i = 0; i < N; i++)
        all[i] = mob_remote(add, top, i);
    mob_drop(top);
    int n = N;
    for (int i = 0; i + 1 < n; i += 2, n++)
        all[n] = mob_remote(add, mob_move(all[i]), mob_move(all[i + 1]));
    CHECK(mob_take(all[n - 1], &x, SOON) == MOB_OK && x == N + N * (N - 1) / 2);
}

/* ---- completions by descriptor ---- */

static void completions(void)
{
    enum { N = 100 };
    START(.cpus = 2);
    struct mob_error err = {.code = 0};
    struct mob_id ids[N], done[16];
    bool seen[N] = {false};
    gate_close();
    int fd = mob_completion_fd(&err), left = N;
    CHECK(fd >= 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < N; i++) {
        MOB_REF(int64_t) r = i == 0 ? mob_remote(gated, (mob_text)gate, 0) : number(i);
        ids[i] = mob_id_of(r);
        CHECK(mob_completion_watch(ids[i], &err) == MOB_OK);
    }
    while (left > 0) {
        if (left == 1) {
            CHECK(poll(&p, 1, 0) == 0); /* nothing to be had: not readable */
            gate_open();
        }
        CHECK(poll(&p, 1, SOON) == 1);
        size_t n = mob_completion_take(done, 16);
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < N; k++)
                if (ids[k].owner == done[i].owner && ids[k].seq == done[i].seq) {
                    struct mob_value v;
                    CHECK(!seen[k] && mob_get_value(ids[k], &v, 0, &err) == MOB_OK);
                    seen[k] = true;
                    left--;
                }
    }
    CHECK(poll(&p, 1, 0) == 0 && mob_completion_take(done, 16) == 0);
    /* One that has ended before it is watched. */
    CHECK(mob_completion_watch(ids[1], &err) == MOB_OK && poll(&p, 1, SOON) == 1);
    CHECK(mob_completion_take(done, 16) == 1 && done[0].seq == ids[1].seq);
    unlink(gate);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"arguments", arguments},
        {"several", several},
        {"waiting", waiting},
        {"copies", copies},
        {"diamond", diamond},
        {"completions", completions},
        {NULL, NULL},
    };
    return check_main(&argc, &argv, cases);
}
