/* wordcount.c: the most frequent words below a directory, counted by the cluster.
 *
 *     wordcount [--check] [directory]          default: /usr/include
 *
 * The driver reads the files and puts their text into the object store in chunks; one task per
 * chunk counts, and a tree of tasks merges the counts. All are submitted at once: a reference to a
 * result that does not exist yet is an argument like any other. --check counts once more, in this
 * process alone, and compares. */
#include <mobula.h>

#include <ctype.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20, SHOWN = 10, BAR = 40 };

/* Words in order, each ended by a NUL; how often each was seen; and the worker that says so. */
MOB_STRUCT(counts, (mob_bytes, words), (mob_uint64s, times), (int, worker));

/* ---- what runs on the cluster ---- */

struct word {
    const char *text;
    size_t size;
    uint64_t times;
};

static int by_text(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Room for a result: memory from mob_alloc, which a task may return. */
static bool room(struct counts *c, size_t words, size_t bytes)
{
    *c = (struct counts){{mob_alloc(bytes), 0}, {mob_alloc_array(uint64_t, words), 0}, getpid()};
    if (c->words.data != NULL && c->times.data != NULL)
        return true;
    mob_fail(1, "no memory for %zu words", words);
    return false;
}

static void append(struct counts *c, struct word w)
{
    char *end = (char *)c->words.data + c->words.size;
    memcpy(end, w.text, w.size);
    end[w.size] = '\0';
    c->words.size += w.size + 1;
    ((uint64_t *)c->times.data)[c->times.count++] = w.times;
}

MOB_TASK(counts, count, (mob_bytes, chunk))
{
    /* A hash table of numbers of words, at most half full: a word and what ends it are two bytes.
     */
    size_t slots = 2, n = 0, bytes = 0;
    while (slots < chunk.size)
        slots *= 2;
    uint32_t *table = calloc(slots, sizeof *table);
    struct word *words = malloc((chunk.size / 2 + 1) * sizeof *words);
    const char *at = chunk.data, *end = at + (table != NULL && words != NULL ? chunk.size : 0);
    while (at < end) {
        struct word w = {at, 0, 0};
        size_t i = 5381;
        for (; at < end && (isalnum((unsigned char)*at) || *at == '_'); at++)
            i = i * 33 + (unsigned char)*at;
        w.size = (size_t)(at++ - w.text);
        if (w.size == 0)
            continue;
        for (i &= slots - 1; table[i] != 0 && by_text(&words[table[i] - 1], &w) != 0;)
            i = (i + 1) & (slots - 1);
        if (table[i] == 0) {
            words[n] = w;
            table[i] = (uint32_t)++n;
            bytes += w.size + 1;
        }
        words[table[i] - 1].times++;
    }
    struct counts result = {.worker = 0};
    if (table == NULL || words == NULL)
        mob_fail(1, "no memory for a chunk of %zu bytes", chunk.size);
    else if (room(&result, n, bytes)) {
        qsort(words, n, sizeof *words, by_text);
        for (size_t i = 0; i < n; i++)
            append(&result, words[i]);
    }
    free(words);
    free(table);
    return result;
}

MOB_TASK(counts, merge, (counts, a), (counts, b))
{
    struct counts result = {.worker = 0};
    if (!room(&result, a.times.count + b.times.count, a.words.size + b.words.size))
        return result;
    const char *x = a.words.data, *y = b.words.data;
    for (size_t i = 0, j = 0; i < a.times.count || j < b.times.count;) {
        int order = i == a.times.count ? 1 : j == b.times.count ? -1 : strcmp(x, y);
        struct word w = {order <= 0 ? x : y, 0, 0};
        w.size = strlen(w.text);
        if (order <= 0)
            x += w.size + 1, w.times += a.times.data[i++];
        if (order >= 0)
            y += w.size + 1, w.times += b.times.data[j++];
        append(&result, w);
    }
    return result;
}

/* ---- what runs here ---- */

static void *must(void *memory)
{
    if (memory == NULL) {
        perror("wordcount");
        exit(1);
    }
    return memory;
}

/* The text of the next files, a megabyte or more, for the caller to free; nothing at the end. */
static mob_bytes chunk_read(FTS *tree)
{
    char *text, block[65536];
    size_t size, got;
    FILE *chunk = must(open_memstream(&text, &size));
    FTSENT *entry;
    while (ftello(chunk) < CHUNK_BYTES && (entry = fts_read(tree)) != NULL) {
        FILE *file = entry->fts_info == FTS_F ? fopen(entry->fts_accpath, "r") : NULL;
        if (file == NULL)
            continue;
        while ((got = fread(block, 1, sizeof block, file)) > 0)
            fwrite(block, 1, got, chunk);
        fputc('\n', chunk);
        fclose(file);
    }
    fclose(chunk);
    must(text);
    if (size > 0)
        return mob_bytes_of(text, size);
    free(text);
    return mob_bytes_of(NULL, 0);
}

/* Show how many tasks have ended until all have: a bar on a terminal, else a line now and then. */
static void watch(const MOB_REF(counts) * tasks, size_t n)
{
    bool *ended = must(calloc(n, sizeof *ended)), bar = isatty(STDOUT_FILENO);
    for (size_t done = 0, shown = 0; done < n;) {
        if (mob_wait(tasks, n, done + 1, MOB_FOREVER, ended) != MOB_OK)
            break;
        done = 0;
        for (size_t i = 0; i < n; i++)
            done += ended[i];
        int full = (int)(done * BAR / n);
        if (bar)
            printf("\r[%.*s%*s] %zu of %zu tasks%s", full,
                   "########################################", BAR - full, "", done, n,
                   done == n ? "\n" : "");
        else if (done - shown > n / 5 || done == n)
            printf("%zu of %zu tasks\n", shown = done, n);
        fflush(stdout);
    }
    free(ended);
}

static int by_times(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    return x->times != y->times ? (x->times < y->times) - (x->times > y->times) : by_text(a, b);
}

static void words_print(struct counts c)
{
    struct word *words = must(calloc(c.times.count + 1, sizeof *words));
    const char *text = c.words.data;
    for (size_t i = 0; i < c.times.count; i++) {
        words[i] = (struct word){text, strlen(text), c.times.data[i]};
        text += words[i].size + 1;
    }
    qsort(words, c.times.count, sizeof *words, by_times);
    for (size_t i = 0; i < c.times.count && i < SHOWN; i++)
        printf("%10zu  %s\n", (size_t)words[i].times, words[i].text);
    free(words);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* How many tasks ran on which worker: each result says where it was made. */
static void workers_print(const MOB_REF(counts) * tasks, size_t n)
{
    int *workers = must(calloc(n, sizeof *workers));
    struct counts c;
    for (size_t i = 0; i < n; i++)
        workers[i] = mob_get(tasks[i], &c, MOB_FOREVER) == MOB_OK ? c.worker : 0;
    qsort(workers, n, sizeof *workers, by_value);
    for (size_t i = 0, first = 0; i < n; i++)
        if (i + 1 == n || workers[i + 1] != workers[i]) {
            printf("%10zu  tasks on worker %d\n", i + 1 - first, workers[i]);
            first = i + 1;
        }
    free(workers);
}

/* Count all chunks in one piece, in this process: a task is a function like any other. */
static bool check(mob_bytes text, struct counts c)
{
    struct counts plain = count(text);
    bool same = plain.words.size == c.words.size && plain.times.count == c.times.count &&
                memcmp(plain.words.data, c.words.data, c.words.size) == 0 &&
                memcmp(plain.times.data, c.times.data, c.times.count * sizeof(uint64_t)) == 0;
    printf("a plain count in this process: %s\n", same ? "the same" : "DIFFERENT");
    mob_free((void *)plain.words.data);
    mob_free((void *)plain.times.data);
    return same;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    bool checked = argc > 1 && strcmp(argv[1], "--check") == 0;
    char *paths[] = {argc > 1 + checked ? argv[1 + checked] : (char[]){"/usr/include"}, NULL};
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;

    FTS *tree = must(fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL));
    MOB_REF(counts) *tasks = NULL;
    size_t n = 0, size;
    char *text;
    FILE *all = must(open_memstream(&text, &size)); /* only for the check */
    double start = now();
    for (mob_bytes chunk; (chunk = chunk_read(tree)).size > 0; free((void *)chunk.data)) {
        tasks = must(realloc(tasks, 2 * (n + 1) * sizeof *tasks));
        tasks[n++] = mob_remote(count, mob_move(mob_put(mob_bytes, chunk)));
        if (checked)
            fwrite(chunk.data, 1, chunk.size, all);
    }
    fts_close(tree);
    fclose(all);
    if (n == 0)
        return fprintf(stderr, "wordcount: no files to read in %s\n", paths[0]), 1;
    size_t chunks = n;
    for (size_t i = 0; i + 1 < n; i += 2, n++)
        tasks[n] = mob_remote(merge, tasks[i], tasks[i + 1]);
    watch(tasks, n);

    struct counts c;
    if (mob_get(tasks[n - 1], &c, MOB_FOREVER) != MOB_OK)
        return mob_print_error(stderr), 1;
    printf("%s: %zu different words in %zu chunks, counted in %.2f s\n", paths[0], c.times.count,
           chunks, now() - start);
    words_print(c);
    workers_print(tasks, n);
    bool same = !checked || check(mob_bytes_of(text, size), c);
    free(text);
    free(tasks);
    mob_shutdown();
    return same ? 0 : 1;
}
