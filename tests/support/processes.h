/* processes.h: what /proc says about real processes.
 * Owns nothing. Runs on: any thread. Touches: /proc. A zombie does not count as a process anywhere
 * here. */
#ifndef MOB_TEST_SUPPORT_PROCESSES_H
#define MOB_TEST_SUPPORT_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Write the pids of all descendants of `root`, without itself, to `pids`, at most `pids_max`;
 * returns how many there are. Those whose parent has ended belong to init and are not found: see
 * processes_marked. */
unsigned processes_descendants(pid_t root, pid_t *pids, unsigned pids_max);
unsigned processes_count(pid_t root);

/* The same for all processes whose environment at their exec held exactly `mark`, a "NAME=value".
 */
unsigned processes_marked(const char *mark, pid_t *pids, unsigned pids_max);

/* The first descendant of `root` whose name (/proc/PID/comm) begins with `name`; 0 if none. */
pid_t processes_find(pid_t root, const char *name);

bool processes_alive(pid_t pid);

/* Proportional set size from smaps_rollup; -1 if the process is gone. */
int64_t processes_pss_bytes(pid_t pid);

/* User and system time that the process has used so far, its reaped children not included; -1 if it
 * is gone. */
int64_t processes_cpu_ms(pid_t pid);

#endif
