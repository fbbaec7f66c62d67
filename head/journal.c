/* journal.c: every statement is prepared once and bound by position from the declaration of the
 * record, so a new record needs no code here. The tables are plain, so that people can look at them
 * with the sqlite3 shell (on a copy: see the header). Rejected: one row per record (a log in a
 * log): loading would replay a life, not a state. */
#include "head/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "head/records.h"
#include "protocol/memory.h"

enum {
    SCHEMA_VERSION = 1,
    APPLICATION_ID = 0x4d6f6275, /* "Mobu" */
    APPLY_MAX = 3,               /* statements per record */
    SIDE_SLOT = 64,              /* bytes; the side file has two slots, written in turn */
};

static const char schema[] =
    "CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) "
    "STRICT;"
    "INSERT INTO journal (one, number) VALUES (1, 0);"
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE nodes (node INTEGER PRIMARY KEY, incarnation INTEGER NOT NULL, session INTEGER "
    "NOT NULL,"
    " machine TEXT NOT NULL, local TEXT NOT NULL, cpus INTEGER NOT NULL, store_bytes INTEGER NOT "
    "NULL,"
    " request INTEGER NOT NULL) STRICT;"
    "CREATE TABLE blocks (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, node INTEGER NOT NULL,"
    " request INTEGER NOT NULL) STRICT;"
    "CREATE TABLE jobs (job INTEGER PRIMARY KEY, node INTEGER NOT NULL, request INTEGER NOT NULL,"
    " driver INTEGER NOT NULL, pid INTEGER NOT NULL, uid INTEGER NOT NULL, command TEXT NOT NULL,"
    " ended INTEGER NOT NULL, code INTEGER NOT NULL) STRICT;"
    "CREATE TABLE workers (process INTEGER PRIMARY KEY, job INTEGER NOT NULL, node INTEGER NOT "
    "NULL,"
    " pid INTEGER NOT NULL) STRICT;"
    "CREATE INDEX workers_of_job ON workers (job);"
    "CREATE TABLE objects (owner INTEGER NOT NULL, seq INTEGER NOT NULL, job INTEGER NOT NULL,"
    " node INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (owner, seq)) STRICT, WITHOUT "
    "ROWID;"
    "CREATE INDEX objects_of_job ON objects (job);";

#define RECORD(name, number, doc, fields, apply, load) row_##name,
enum row {
#include "head/records.def"
    ROW_COUNT
};
#undef RECORD

static const struct record_sql {
    const char *apply, *load;
} sql[ROW_COUNT] = {
#define RECORD(name, number, doc, fields, apply, load) {apply, load},
#include "head/records.def"
#undef RECORD
};

struct journal {
    sqlite3 *db;
    sqlite3_stmt *apply[ROW_COUNT][APPLY_MAX];
    sqlite3_stmt *begin, *commit, *set_number;
    int side_fd; /* -1 in memory */
    uint64_t number;
    bool failed;
    char name[PATH_MAX]; /* for messages */
};

static uint64_t fail_in;

void journal_fail_at(uint64_t n)
{
    fail_in = n;
}

static int db_failed(struct journal *j, struct mob_err *err, const char *what)
{
    int rc = sqlite3_extended_errcode(j->db);
    if (rc == SQLITE_BUSY)
        return mob_err_set(err, MOB_EJOURNAL,
                           "%s: another process has it open; stop that head first", j->name);
    if (rc == SQLITE_NOTADB)
        return mob_err_set(err, MOB_ESCHEMA,
                           "%s: not a database; move the file away or name another directory",
                           j->name);
    return mob_err_set(err, MOB_EJOURNAL, "%s: %s: %s", j->name, what, sqlite3_errmsg(j->db));
}

static int run(struct journal *j, const char *text, struct mob_err *err)
{
    return sqlite3_exec(j->db, text, NULL, NULL, NULL) == SQLITE_OK ? MOB_OK
                                                                    : db_failed(j, err, text);
}

/* ---- the side file ---- */

static uint64_t side_sum(uint64_t number)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < 8; i++)
        h = (h ^ (number >> (8 * i) & 0xff)) * 0x100000001b3u;
    return h;
}

/* Two slots in turn: a torn write destroys the older number at most. */
static int side_write(struct journal *j, uint64_t number, struct mob_err *err)
{
    char slot[SIDE_SLOT];
    memset(slot, ' ', sizeof slot);
    int n =
        snprintf(slot, sizeof slot, "mobula %020" PRIu64 " %016" PRIx64, number, side_sum(number));
    slot[n] = ' ';
    slot[SIDE_SLOT - 1] = '\n';
    if (pwrite(j->side_fd, slot, sizeof slot, (off_t)(number % 2) * SIDE_SLOT) !=
            (ssize_t)sizeof slot ||
        fdatasync(j->side_fd) != 0)
        return mob_err_system(err, "%s: cannot write the number of the commit beside it", j->name);
    return MOB_OK;
}

/* The highest number that is whole; false when there is none. */
static bool side_read(struct journal *j, uint64_t *number)
{
    bool found = false;
    for (int i = 0; i < 2; i++) {
        char slot[SIDE_SLOT + 1] = {0};
        uint64_t value, sum;
        if (pread(j->side_fd, slot, SIDE_SLOT, i * SIDE_SLOT) != SIDE_SLOT ||
            sscanf(slot, "mobula %20" SCNu64 " %16" SCNx64, &value, &sum) != 2 ||
            sum != side_sum(value))
            continue;
        if (!found || value > *number)
            *number = value;
        found = true;
    }
    return found;
}

static int side_check(struct journal *j, struct mob_err *err)
{
    uint64_t seen = 0;
    struct stat info;
    if (fstat(j->side_fd, &info) != 0)
        return mob_err_system(err, "%s: cannot look at journal.commit", j->name);
    if (!side_read(j, &seen)) {
        if (j->number == 0)
            return side_write(j, 0, err);
        return mob_err_set(err, MOB_EBEHIND,
                           "%s is at commit %" PRIu64
                           " and journal.commit beside it is missing or damaged, so nothing"
                           " shows that no commit was lost; restore both from one backup",
                           j->name, j->number);
    }
    if (seen > j->number)
        return mob_err_set(err, MOB_EBEHIND,
                           "%s is at commit %" PRIu64 " but commit %" PRIu64
                           " was acknowledged: commits are lost; restore"
                           " the database with its -wal file from a backup",
                           j->name, j->number, seen);
    return MOB_OK;
}

static int sync_directory(const char *dir, struct mob_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? MOB_OK : mob_err_system(err, "cannot sync %s", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- opening ---- */

static int read_number(struct journal *j, const char *query, uint64_t *out, struct mob_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = MOB_OK;
    if (sqlite3_prepare_v2(j->db, query, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        rc = db_failed(j, err, query);
    else
        *out = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc;
}

static int check_whole(struct journal *j, struct mob_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = MOB_OK;
    if (sqlite3_prepare_v2(j->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        rc = db_failed(j, err, "cannot be checked");
    else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
        rc = mob_err_set(err, MOB_EJOURNAL, "%s is damaged: %s; restore it from a backup", j->name,
                         (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return rc;
}

/* Ours and of this version, or empty: then it is made. */
static int open_schema(struct journal *j, struct mob_err *err)
{
    uint64_t id = 0, version = 0, tables = 0;
    int rc = read_number(j, "PRAGMA application_id", &id, err);
    if (rc == MOB_OK)
        rc = read_number(j, "PRAGMA user_version", &version, err);
    if (rc == MOB_OK)
        rc = read_number(j, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (rc != MOB_OK)
        return rc;
    if (tables == 0 && id == 0) {
        char text[sizeof schema + 128];
        snprintf(text, sizeof text,
                 "BEGIN; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", schema,
                 APPLICATION_ID, SCHEMA_VERSION);
        return run(j, text, err);
    }
    if (id != APPLICATION_ID)
        return mob_err_set(err, MOB_ESCHEMA,
                           "%s belongs to another program; name another directory", j->name);
    if (version != SCHEMA_VERSION)
        return mob_err_set(err, MOB_ESCHEMA,
                           "%s has schema %" PRIu64
                           ", this head reads %d; use the Mobula that made it",
                           j->name, version, SCHEMA_VERSION);
    return check_whole(j, err);
}

static int prepare(struct journal *j, const char *text, sqlite3_stmt **out, const char **rest,
                   struct mob_err *err)
{
    if (sqlite3_prepare_v3(j->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, rest) != SQLITE_OK)
        return db_failed(j, err, text);
    return MOB_OK;
}

static int prepare_all(struct journal *j, struct mob_err *err)
{
    int rc = prepare(j, "BEGIN IMMEDIATE", &j->begin, NULL, err);
    if (rc == MOB_OK)
        rc = prepare(j, "COMMIT", &j->commit, NULL, err);
    if (rc == MOB_OK)
        rc = prepare(j, "UPDATE journal SET number = ?1", &j->set_number, NULL, err);
    for (unsigned row = 0; rc == MOB_OK && row < ROW_COUNT; row++) {
        const char *text = sql[row].apply;
        for (unsigned i = 0; rc == MOB_OK && *text != 0; i++)
            rc = i < APPLY_MAX ? prepare(j, text, &j->apply[row][i], &text, err)
                               : mob_err_set(err, MOB_EBUG, "%s: more than %d statements",
                                             sql[row].apply, APPLY_MAX);
    }
    return rc;
}

static int open_files(struct journal *j, const char *dir, struct mob_err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return mob_err_system(err, "cannot make %s", dir);
    char side[PATH_MAX];
    if (snprintf(j->name, sizeof j->name, "%s/journal.db", dir) >= (int)sizeof j->name ||
        snprintf(side, sizeof side, "%s/journal.commit", dir) >= (int)sizeof side)
        return mob_err_set(err, MOB_EINVAL, "%s: the path is too long", dir);
    j->side_fd = open(side, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->side_fd < 0)
        return mob_err_system(err, "cannot open %s", side);
    return MOB_OK;
}

static int open_database(struct journal *j, struct mob_err *err)
{
    bool disk = j->side_fd >= 0;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(j->name, &j->db, flags, NULL) != SQLITE_OK)
        return db_failed(j, err, "cannot be opened");
    int rc = run(
        j, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024",
        err);
    /* The first access takes the lock, and holds it: no second head, no shared-memory file. */
    if (rc == MOB_OK && disk)
        rc = run(j, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT",
                 err);
    if (rc == MOB_OK)
        rc = open_schema(j, err);
    if (rc == MOB_OK)
        rc = read_number(j, "SELECT number FROM journal", &j->number, err);
    if (rc == MOB_OK && disk)
        rc = side_check(j, err);
    return rc == MOB_OK ? prepare_all(j, err) : rc;
}

int journal_open(struct journal **out, const char *dir, struct mob_err *err)
{
    struct journal *j = memory_zalloc(sizeof *j);
    if (j == NULL)
        return mob_err_set(err, MOB_ENOMEM, "journal: no memory");
    j->side_fd = -1;
    snprintf(j->name, sizeof j->name, ":memory:");
    int rc = dir != NULL ? open_files(j, dir, err) : MOB_OK;
    if (rc == MOB_OK)
        rc = open_database(j, err);
    if (rc == MOB_OK && dir != NULL)
        rc = sync_directory(dir, err);
    if (rc != MOB_OK) {
        journal_close(j);
        return rc;
    }
    *out = j;
    return MOB_OK;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    sqlite3_finalize(j->begin);
    sqlite3_finalize(j->commit);
    sqlite3_finalize(j->set_number);
    for (unsigned row = 0; row < ROW_COUNT; row++)
        for (unsigned i = 0; i < APPLY_MAX; i++)
            sqlite3_finalize(j->apply[row][i]);
    sqlite3_close(j->db);
    if (j->side_fd >= 0)
        close(j->side_fd);
    memory_free(j);
}

uint64_t journal_number(const struct journal *j)
{
    return j->number;
}

/* ---- committing ---- */

/* Each binds its columns from `at` on and returns how many. What a statement does not use is out of
 * range: no matter. */
static int bind_u64(sqlite3_stmt *s, int at, uint64_t v)
{
    sqlite3_bind_int64(s, at, (sqlite3_int64)v);
    return 1;
}

static int bind_u32(sqlite3_stmt *s, int at, uint32_t v)
{
    return bind_u64(s, at, v);
}

static int bind_i64(sqlite3_stmt *s, int at, int64_t v)
{
    return bind_u64(s, at, (uint64_t)v);
}

static int bind_text(sqlite3_stmt *s, int at, struct view v)
{
    sqlite3_bind_text(s, at, v.size != 0 ? v.data : "", (int)v.size, SQLITE_STATIC);
    return 1;
}

static int bind_object(sqlite3_stmt *s, int at, struct mob_object v)
{
    return bind_u64(s, at, v.owner) + bind_u64(s, at + 1, v.seq);
}

static enum row bind_record(sqlite3_stmt *(*apply)[APPLY_MAX], const struct record *r, unsigned i)
{
    int at = 1;
    switch (r->kind) {
#define F(kind, name, doc) at += bind_##kind(stmt, at, m->name);
#define RECORD(name, number, doc, fields, apply_sql, load)                                         \
    case number: {                                                                                 \
        const struct record_##name *m = &r->name;                                                  \
        sqlite3_stmt *stmt = apply[row_##name][i];                                                 \
        if (stmt != NULL) {                                                                        \
            fields                                                                                 \
        }                                                                                          \
        return row_##name;                                                                         \
    }
#include "head/records.def"
#undef RECORD
#undef F
    }
    return ROW_COUNT;
}

static int step(struct journal *j, sqlite3_stmt *stmt, struct mob_err *err)
{
    int rc = sqlite3_step(stmt) == SQLITE_DONE ? MOB_OK : db_failed(j, err, sqlite3_sql(stmt));
    sqlite3_reset(stmt);
    return rc;
}

static int apply_record(struct journal *j, const struct record *r, struct mob_err *err)
{
    int rc = MOB_OK;
    for (unsigned i = 0; rc == MOB_OK && i < APPLY_MAX; i++) {
        enum row row = bind_record(j->apply, r, i);
        if (row == ROW_COUNT || j->apply[row][i] == NULL)
            break;
        rc = step(j, j->apply[row][i], err);
        sqlite3_clear_bindings(j->apply[row][i]);
    }
    return rc;
}

static int apply_all(struct journal *j, uint64_t number, struct view records, struct mob_err *err)
{
    struct cursor c = cursor_of(records.data, records.size);
    struct record r;
    int rc = step(j, j->begin, err);
    while (rc == MOB_OK && record_next(&c, &r))
        rc = apply_record(j, &r, err);
    if (rc == MOB_OK && c.failed)
        rc = mob_err_set(err, MOB_EBUG, "%s: a record of commit %" PRIu64 " is malformed", j->name,
                         number);
    if (rc == MOB_OK && fail_in != 0 && --fail_in == 0)
        rc = mob_err_set(err, MOB_EJOURNAL,
                         "%s: commit %" PRIu64 " failed because a test asked for it", j->name,
                         number);
    bind_u64(j->set_number, 1, number);
    if (rc == MOB_OK)
        rc = step(j, j->set_number, err);
    if (rc == MOB_OK)
        rc = step(j, j->commit, err);
    return rc;
}

int journal_commit(struct journal *j, uint64_t number, struct view records, struct mob_err *err)
{
    if (j->failed)
        return mob_err_set(err, MOB_EJOURNAL, "%s: a commit failed before; start the head again",
                           j->name);
    if (number != j->number + 1)
        return mob_err_set(err, MOB_EBUG, "%s: commit %" PRIu64 " after %" PRIu64, j->name, number,
                           j->number);
    int rc = apply_all(j, number, records, err);
    if (rc == MOB_OK && j->side_fd >= 0)
        rc = side_write(j, number, err);
    if (rc == MOB_OK)
        j->number = number;
    else
        j->failed = true;
    return rc;
}

/* ---- loading ---- */

static uint64_t column_u64(sqlite3_stmt *s, int *at)
{
    return (uint64_t)sqlite3_column_int64(s, (*at)++);
}

static uint32_t column_u32(sqlite3_stmt *s, int *at)
{
    return (uint32_t)column_u64(s, at);
}

static int64_t column_i64(sqlite3_stmt *s, int *at)
{
    return (int64_t)column_u64(s, at);
}

static struct view column_text(sqlite3_stmt *s, int *at)
{
    const void *data = sqlite3_column_text(s, *at);
    return (struct view){data, (size_t)sqlite3_column_bytes(s, (*at)++)};
}

static struct mob_object column_object(sqlite3_stmt *s, int *at)
{
    uint64_t owner = column_u64(s, at);
    return (struct mob_object){owner, column_u64(s, at)};
}

static void read_row(sqlite3_stmt *s, enum row row, struct record *r)
{
    int at = 0;
    switch (row) {
#define F(kind, name, doc) m->name = column_##kind(s, &at);
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case row_##name: {                                                                             \
        struct record_##name *m = &r->name;                                                        \
        r->kind = RECORD_##name;                                                                   \
        fields break;                                                                              \
    }
#include "head/records.def"
#undef RECORD
#undef F
    case ROW_COUNT:
        break;
    }
}

int journal_load(struct journal *j, struct buffer *records, struct mob_err *err)
{
    int rc = MOB_OK;
    for (enum row row = 0; rc == MOB_OK && row < ROW_COUNT; row++) {
        if (*sql[row].load == 0)
            continue;
        sqlite3_stmt *stmt = NULL;
        int more = sqlite3_prepare_v2(j->db, sql[row].load, -1, &stmt, NULL);
        while (rc == MOB_OK && (more == SQLITE_OK || more == SQLITE_ROW) &&
               (more = sqlite3_step(stmt)) == SQLITE_ROW) {
            struct record r;
            read_row(stmt, row, &r);
            rc = record_pack(records, &r);
        }
        if (rc == MOB_OK && more != SQLITE_DONE)
            rc = db_failed(j, err, sql[row].load);
        sqlite3_finalize(stmt);
    }
    return rc;
}
