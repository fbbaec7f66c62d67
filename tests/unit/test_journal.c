/* The journal: what was committed comes back, and what cannot be trusted is not served. */
#include "head/journal.h"
#include "head/state.h"
#include "tests/support/tempdir.h"
#include "tests/support/test.h"
#include "tests/support/wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static struct journal *open_ok(const char *dir)
{
    struct journal *j = NULL;
    struct mob_err err = {0};
    if (journal_open(&j, dir, &err) != MOB_OK)
        fail_msg("%s", err.text);
    return j;
}

static int open_rc(const char *dir, struct mob_err *err)
{
    struct journal *j = NULL;
    int rc = journal_open(&j, dir, err);
    journal_close(j);
    return rc;
}

/* ---- a history: records that a head could have made ---- */

struct history {
    uint64_t random, ids;
    struct state state;
    struct buffer records;
};

static void add(struct history *h, const struct record *r)
{
    struct mob_err err;
    if (state_apply(&h->state, r, &err) != MOB_OK)
        fail_msg("%s", err.text);
    assert_int_equal(record_pack(&h->records, r), MOB_OK);
}

#define ADD(h, name_, ...)                                                                         \
    add((h), &(struct record){.kind = RECORD_##name_, .name_ = {__VA_ARGS__}})

static void end_job(struct history *h, uint64_t job)
{
    ADD(h, job_ended, .job = job, .code = -(int64_t)(random_next(&h->random) % 2));
    if (random_next(&h->random) % 2)
        ADD(h, job_forgotten, .job = job);
}

static void add_node(struct history *h)
{
    char local[32];
    uint64_t node = ++h->ids;
    snprintf(local, sizeof local, "/run/%" PRIu64, node);
    ADD(h, counter_set, .name = view_of("node"), .value = node);
    ADD(h, node_added, .node = node, .incarnation = random_next(&h->random), .session = node,
        .machine = view_of("boot"), .local = view_of(local), .cpus = 20000, .store_bytes = 1 << 30);
    ADD(h, counter_set, .name = view_of("process"), .value = node * 100 + 99);
    ADD(h, block_given, .node = node, .request = 0, .first = node * 100, .count = 100);
}

static void end_node(struct history *h, uint64_t node)
{
    for (struct state_job *j = h->state.jobs, *next; j != NULL; j = next) {
        next = j->hh.next;
        if (!j->ended && j->node == node)
            end_job(h, j->job);
    }
    ADD(h, node_ended, .node = node, .code = MOB_ENODEDIED);
}

static void add_rows(struct history *h, const struct state_job *job)
{
    ADD(h, worker_added, .process = ++h->ids, .job = job->job, .node = job->node,
        .pid = h->ids + 7);
    for (uint64_t n = random_next(&h->random) % 5; n > 0; n--)
        ADD(h, object_added, .object = {job->driver, ++h->ids}, .job = job->job, .node = job->node,
            .size = h->ids << 20);
    if (random_next(&h->random) % 2)
        ADD(h, worker_ended, .process = job->workers->process, .signal = 9, .status = 0);
}

static void history_step(struct history *h)
{
    struct state_node *node = h->state.nodes;
    struct state_job *job = h->state.jobs;
    for (uint64_t skip = random_next(&h->random) % 4; skip > 0 && job != NULL; skip--)
        job = job->hh.next;
    switch (node == NULL ? 0 : random_next(&h->random) % 8) {
    case 0:
        add_node(h);
        return;
    case 1:
        if (random_next(&h->random) % 4 == 0)
            end_node(h, node->node);
        return;
    case 2:
    case 3:
        ADD(h, counter_set, .name = view_of("job"), .value = ++h->ids);
        ADD(h, node_request, .node = node->node, .request = h->ids);
        ADD(h, job_started, .job = h->ids, .node = node->node, .request = h->ids, .driver = h->ids,
            .pid = 1, .uid = 0,
            .command = view_of(random_next(&h->random) % 2 ? "" : "./program \"with\" 'quotes'"));
        return;
    case 4:
        if (job != NULL && !job->ended)
            end_job(h, job->job);
        return;
    default:
        if (job != NULL && !job->ended)
            add_rows(h, job);
    }
}

static struct buffer dump_of(const struct state *s)
{
    struct buffer text = {0};
    assert_int_equal(state_dump(s, &text), MOB_OK);
    assert_int_equal(buffer_append(&text, "", 1), MOB_OK);
    return text;
}

static void history_commit(struct history *h, struct journal *j)
{
    struct mob_err err;
    struct view records = {buffer_head(&h->records), buffer_size(&h->records)};
    if (journal_commit(j, journal_number(j) + 1, records, &err) != MOB_OK)
        fail_msg("%s", err.text);
    buffer_clear(&h->records);
}

/* What the journal gives back rebuilds the state. */
static void history_check(struct history *h, struct journal *j)
{
    struct buffer records = {0};
    struct state loaded = {0};
    struct mob_err err;
    struct record r;
    assert_int_equal(journal_load(j, &records, &err), MOB_OK);
    struct cursor c = cursor_of(buffer_head(&records), buffer_size(&records));
    while (record_next(&c, &r))
        if (state_apply(&loaded, &r, &err) != MOB_OK)
            fail_msg("%s", err.text);
    assert_false(c.failed);
    struct buffer live = dump_of(&h->state), again = dump_of(&loaded);
    assert_string_equal((char *)live.data, (char *)again.data);
    buffer_fini(&live);
    buffer_fini(&again);
    buffer_fini(&records);
    state_fini(&loaded);
}

static void history_fini(struct history *h)
{
    state_fini(&h->state);
    buffer_fini(&h->records);
}

/* Whatever records were committed, loading rebuilds the same state; in memory and after the file
 * was opened again. */
MOB_TEST(load_rebuilds_the_state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct history h = {.random = seed};
        const char *dir = seed % 10 == 0 ? tempdir_create() : NULL;
        struct journal *j = open_ok(dir);
        for (unsigned i = 0; i < 200; i++) {
            history_step(&h);
            if (random_next(&h.random) % 10 == 0)
                history_commit(&h, j);
        }
        history_commit(&h, j);
        history_check(&h, j);
        if (dir != NULL) {
            uint64_t number = journal_number(j);
            journal_close(j);
            j = open_ok(dir);
            assert_int_equal(journal_number(j), number);
            history_check(&h, j);
        }
        journal_close(j);
        history_fini(&h);
    }
}

static void commit_epoch(struct journal *j, uint64_t value)
{
    struct history h = {0};
    ADD(&h, counter_set, .name = view_of("epoch"), .value = value);
    history_commit(&h, j);
    history_fini(&h);
}

/* Commits until it is killed, and tells each one that was acknowledged. */
static void commit_for_ever(const char *dir, int fd)
{
    struct journal *j = open_ok(dir);
    for (uint64_t n = journal_number(j) + 1;; n++) {
        commit_epoch(j, n);
        if (write(fd, &n, sizeof n) != (ssize_t)sizeof n)
            _exit(1);
    }
}

/* A process that is killed at any moment loses no commit that it had acknowledged. */
MOB_TEST(killed_head_loses_no_acknowledged_commit)
{
    const char *dir = tempdir_create();
    uint64_t acknowledged = 0;
    for (int round = 0; round < 8; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0)
            commit_for_ever(dir, fds[1]);
        close(fds[1]);
        uint64_t wanted = acknowledged + 20 + 7 * (uint64_t)round;
        while (acknowledged < wanted)
            assert_int_equal(read(fds[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        while (read(fds[0], &acknowledged, sizeof acknowledged) == (ssize_t)sizeof acknowledged)
            ;
        close(fds[0]);
        struct journal *j = open_ok(dir);
        assert_true(journal_number(j) >= acknowledged);
        acknowledged = journal_number(j);
        journal_close(j);
    }
}

static void damage(const char *dir, const char *name, off_t at)
{
    char *path = tempdir_path(dir, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    free(path);
}

/* A child that commits `count` times and is killed, so that its -wal file stays. */
static void commit_and_die(const char *dir, uint64_t count)
{
    pid_t child = fork();
    if (child == 0) {
        struct journal *j = open_ok(dir);
        for (uint64_t n = 1; n <= count; n++)
            commit_epoch(j, journal_number(j) + 1);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

/* One flipped bit in the middle of the WAL, or its loss: SQLite opens without a word, and the
 * journal refuses. */
MOB_TEST(lost_commits_are_noticed)
{
    struct mob_err err;
    for (int i = 0; i < 2; i++) {
        const char *dir = tempdir_create();
        commit_and_die(dir, 50);
        if (i == 0) {
            damage(dir, "journal.db-wal", 100000);
        } else {
            char *wal = tempdir_path(dir, "journal.db-wal");
            assert_int_equal(unlink(wal), 0);
            free(wal);
        }
        assert_int_equal(open_rc(dir, &err), MOB_EBEHIND);
        assert_int_equal(open_rc(dir, &err), MOB_EBEHIND);
    }
}

/* Without the side file nothing shows that the database is whole, so it is not served either. */
MOB_TEST(missing_side_file_is_refused)
{
    const char *dir = tempdir_create();
    struct journal *j = open_ok(dir);
    commit_epoch(j, 1);
    journal_close(j);
    char *side = tempdir_path(dir, "journal.commit");
    assert_int_equal(unlink(side), 0);
    struct mob_err err;
    assert_int_equal(open_rc(dir, &err), MOB_EBEHIND);
    free(side);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char *path = tempdir_path(dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static void make_database(const char *dir, const char *statements)
{
    sqlite3 *db;
    char *path = tempdir_path(dir, "journal.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, statements, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    free(path);
}

/* Another program's database, another schema, no database at all: refused with a text, and left as
 * they are. */
MOB_TEST(foreign_files_are_refused)
{
    struct mob_err err;
    const char *dir = tempdir_create();
    make_database(dir, "CREATE TABLE theirs (x)");
    assert_int_equal(open_rc(dir, &err), MOB_ESCHEMA);
    assert_non_null(strstr(err.text, "another program"));
    dir = tempdir_create();
    journal_close(open_ok(dir));
    make_database(dir, "PRAGMA user_version = 99");
    assert_int_equal(open_rc(dir, &err), MOB_ESCHEMA);
    dir = tempdir_create();
    write_file(dir, "journal.db",
               "This is a text, and long enough that SQLite looks at its first page: "
               "0123456789012345678901234567890123456789012345678901234567890123456789");
    assert_int_equal(open_rc(dir, &err), MOB_ESCHEMA);
    assert_int_equal(open_rc("/proc/nowhere", &err), MOB_ESYSTEM);
}

/* A damaged page is found when the journal is opened, not when its row is needed. */
MOB_TEST(damaged_database_is_refused)
{
    const char *dir = tempdir_create();
    struct journal *j = open_ok(dir);
    commit_epoch(j, 1);
    journal_close(j);
    char *path = tempdir_path(dir, "journal.db");
    int fd = open(path, O_RDWR);
    char zeros[4096] = {0};
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 4096), sizeof zeros);
    close(fd);
    free(path);
    struct mob_err err;
    assert_int_equal(open_rc(dir, &err), MOB_EJOURNAL);
}

/* A second head on the same directory is refused while the first lives. */
MOB_TEST(second_head_is_refused)
{
    const char *dir = tempdir_create();
    struct journal *j = open_ok(dir);
    struct mob_err err;
    assert_int_equal(open_rc(dir, &err), MOB_EJOURNAL);
    assert_non_null(strstr(err.text, "another process"));
    commit_epoch(j, 1);
    journal_close(j);
    assert_int_equal(open_rc(dir, &err), MOB_OK);
}

/* After a commit that failed nothing more is taken; opened again, the journal is at the commit
 * before. */
MOB_TEST(failed_commit_is_final)
{
    const char *dir = tempdir_create();
    struct journal *j = open_ok(dir);
    struct mob_err err;
    struct history h = {0};
    ADD(&h, counter_set, .name = view_of("epoch"), .value = 1);
    struct view records = {buffer_head(&h.records), buffer_size(&h.records)};
    journal_fail_at(2);
    assert_int_equal(journal_commit(j, 1, records, &err), MOB_OK);
    assert_int_equal(journal_commit(j, 2, records, &err), MOB_EJOURNAL);
    assert_int_equal(journal_commit(j, 2, records, &err), MOB_EJOURNAL);
    journal_close(j);
    j = open_ok(dir);
    assert_int_equal(journal_number(j), 1);
    assert_int_equal(journal_commit(j, 3, records, &err), MOB_EBUG);
    journal_close(j);
    history_fini(&h);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(wait_now_ns() - start_ns) / 1e9;
}

/* Not a test of speed, which is the machine's: it prints what the journal costs beside bare SQLite.
 */
MOB_TEST(figures)
{
    if (getenv("MOBULA_TEST_FIGURES") == NULL)
        skip();
    const char *dir = tempdir_create();
    struct journal *j = open_ok(dir);
    uint64_t start_ns = wait_now_ns();
    for (uint64_t n = 1; n <= 2000; n++)
        commit_epoch(j, n);
    print_message("journal: %.0f commits/s\n", 2000 / seconds_since(start_ns));
    struct history h = {.random = 1};
    add_node(&h);
    ADD(&h, job_started, .job = 1, .node = 1, .request = 1, .driver = 100, .command = view_of("x"));
    history_commit(&h, j);
    start_ns = wait_now_ns();
    for (uint64_t n = 1; n <= 200000; n++) {
        ADD(&h, object_added, .object = {100, n}, .job = 1, .node = 1, .size = n);
        if (n % 100 == 0)
            history_commit(&h, j);
    }
    print_message("journal: %.0f rows/s in commits of 100\n", 200000 / seconds_since(start_ns));
    journal_close(j);
    history_fini(&h);
    sqlite3 *db;
    char *path = tempdir_path(dir, "bare.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db,
                 "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                 "CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER, c INTEGER, d INTEGER)",
                 NULL, NULL, NULL);
    sqlite3_stmt *insert;
    assert_int_equal(
        sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?1, 1, 2, 3)", -1, &insert, NULL), SQLITE_OK);
    for (int batch = 1; batch <= 100; batch += 99) {
        sqlite3_int64 count = batch == 1 ? 2000 : 200000;
        start_ns = wait_now_ns();
        for (sqlite3_int64 n = 1; n <= count; n++) {
            if (n % batch == 0 || batch == 1)
                sqlite3_exec(db, n == batch ? "BEGIN" : "COMMIT; BEGIN", NULL, NULL, NULL);
            sqlite3_bind_int64(insert, 1, n + batch * 1000000);
            sqlite3_step(insert);
            sqlite3_reset(insert);
        }
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        print_message("bare sqlite: %.0f rows/s in commits of %d\n",
                      (double)count / seconds_since(start_ns), batch);
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_rebuilds_the_state),
        cmocka_unit_test(killed_head_loses_no_acknowledged_commit),
        cmocka_unit_test(lost_commits_are_noticed),
        cmocka_unit_test(missing_side_file_is_refused),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(damaged_database_is_refused),
        cmocka_unit_test(second_head_is_refused),
        cmocka_unit_test(failed_commit_is_final),
        cmocka_unit_test(figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
