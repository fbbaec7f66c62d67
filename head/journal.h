/* journal.h: the head's memory: commits of records in SQLite, and the only user of SQLite.
 * What each record does to the database is declared in head/records.def. A commit is one
 * transaction; when journal_commit has returned it survives the process and the machine (WAL,
 * synchronous=FULL). The number of the last commit also lies in a side file of its own, synced
 * after the database: one flipped bit in a WAL makes SQLite drop all later commits without a word,
 * and then the side file is ahead and the database is not served.
 *
 * Owns one connection, held exclusively: Debian 12's SQLite can corrupt a WAL that two connections
 * write. Bound: the disk. Runs on: the head's loop; a commit blocks it for a sync. Touches:
 * DIR/journal.db, its -wal, DIR/journal.commit. After a failed commit nothing more is taken: the
 * process ends and starts again from what is on disk. */
#ifndef MOB_HEAD_JOURNAL_H
#define MOB_HEAD_JOURNAL_H
#include "protocol/buffer.h"
#include "protocol/cursor.h"

struct journal;

/* Open or make the journal in directory `dir` (made if it is not there); NULL: in memory, which no
 * crash survives. MOB_EBEHIND: commits that were acknowledged are missing. MOB_ESCHEMA: another
 * program's file, or another version's. MOB_EJOURNAL: damaged, or open in another process. */
int journal_open(struct journal **out, const char *dir, struct mob_err *err) MOB_MUST_CHECK;
void journal_close(struct journal *j);            /* NULL is fine */
uint64_t journal_number(const struct journal *j); /* of the last commit, 0 = none yet */
/* Append records that rebuild the state to `records`. */
int journal_load(struct journal *j, struct buffer *records, struct mob_err *err) MOB_MUST_CHECK;
/* Make the records durable as commit `number`, which is the last one's + 1. Blocks until they are.
 */
int journal_commit(struct journal *j, uint64_t number, struct view records,
                   struct mob_err *err) MOB_MUST_CHECK;
/* Fault point: the n-th commit from now fails after its statements have run; 0 turns it off. */
void journal_fail_at(uint64_t n);
#endif
