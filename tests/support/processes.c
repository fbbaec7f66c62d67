/* One pass over /proc takes the parent of each process; the closure over that table gives the
 * descendants. A process may end between the two, so whatever cannot be read is taken as gone. */
#include "tests/support/processes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 32768

struct process {
    pid_t pid, parent;
    char state;
    char name[32];
    uint64_t cpu_ticks;
};

static bool process_read(pid_t pid, struct process *process)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    /* The name may hold blanks and parentheses; it ends at the last of them. */
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (name == NULL || end == NULL)
        return false;
    *end = '\0';
    int parent;
    unsigned long user, system;
    int found = sscanf(end + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                       &process->state, &parent, &user, &system);
    if (found != 4)
        return false;
    process->pid = pid;
    process->parent = parent;
    process->cpu_ticks = user + system;
    snprintf(process->name, sizeof process->name, "%s", name + 1);
    return true;
}

/* The pids in /proc, allocated; `*count` of them. */
static pid_t *pids_list(unsigned *count)
{
    pid_t *pids = calloc(PROCESSES_MAX, sizeof *pids);
    DIR *dir = opendir("/proc");
    if (pids == NULL || dir == NULL)
        abort();
    *count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && *count < PROCESSES_MAX;) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            pids[(*count)++] = (pid_t)pid;
    }
    closedir(dir);
    return pids;
}

/* The descendants of `root`, zombies included, allocated. A child may have a lower pid than its
 * parent, so the table is gone through until nothing is added. */
static struct process *descendants_list(pid_t root, unsigned *count)
{
    unsigned pids_count, known = 0;
    pid_t *pids = pids_list(&pids_count);
    struct process *table = calloc(pids_count + 1, sizeof *table);
    if (table == NULL)
        abort();
    for (unsigned i = 0; i < pids_count; i++)
        if (process_read(pids[i], &table[known]))
            known++;
    free(pids);

    *count = 0;
    for (bool added = true; added;) {
        added = false;
        for (unsigned i = *count; i < known; i++) {
            bool below = table[i].parent == root;
            for (unsigned j = 0; j < *count && !below; j++)
                below = table[i].parent == table[j].pid;
            if (!below)
                continue;
            struct process found = table[i];
            table[i] = table[*count];
            table[(*count)++] = found;
            added = true;
        }
    }
    return table;
}

unsigned processes_descendants(pid_t root, pid_t *pids, unsigned pids_max)
{
    unsigned listed, count = 0;
    struct process *table = descendants_list(root, &listed);
    for (unsigned i = 0; i < listed; i++) {
        if (table[i].state == 'Z')
            continue;
        if (count < pids_max)
            pids[count] = table[i].pid;
        count++;
    }
    free(table);
    return count;
}

unsigned processes_count(pid_t root)
{
    return processes_descendants(root, NULL, 0);
}

pid_t processes_find(pid_t root, const char *name)
{
    unsigned listed;
    pid_t pid = 0;
    struct process *table = descendants_list(root, &listed);
    for (unsigned i = 0; i < listed && pid == 0; i++)
        if (table[i].state != 'Z' && strncmp(table[i].name, name, strlen(name)) == 0)
            pid = table[i].pid;
    free(table);
    return pid;
}

static bool process_has_mark(pid_t pid, const char *mark)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    while (!found && getdelim(&line, &capacity, '\0', file) > 0)
        found = strcmp(line, mark) == 0;
    free(line);
    fclose(file);
    return found;
}

unsigned processes_marked(const char *mark, pid_t *pids, unsigned pids_max)
{
    unsigned listed, count = 0;
    pid_t *all = pids_list(&listed);
    for (unsigned i = 0; i < listed; i++) {
        if (!process_has_mark(all[i], mark) || !processes_alive(all[i]))
            continue;
        if (count < pids_max)
            pids[count] = all[i];
        count++;
    }
    free(all);
    return count;
}

bool processes_alive(pid_t pid)
{
    struct process process;
    return process_read(pid, &process) && process.state != 'Z';
}

int64_t processes_pss_bytes(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    long long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Pss: %lld kB", &kib) != 1)
            kib = -1;
    fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

int64_t processes_cpu_ms(pid_t pid)
{
    struct process process;
    if (!process_read(pid, &process))
        return -1;
    return (int64_t)process.cpu_ticks * 1000 / sysconf(_SC_CLK_TCK);
}
