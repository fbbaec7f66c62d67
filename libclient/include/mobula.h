/* mobula.h: run C functions on a cluster. The only public header, and the manual.
 *
 *     #include <mobula.h>
 *
 *     MOB_TASK(double, area, (double, radius))
 *     {
 *         return 3.14159265 * radius * radius;
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         if (mob_init(&argc, &argv, NULL) != MOB_OK)
 *             return mob_print_error(stderr), 1;
 *         MOB_REF(double) a = mob_remote(area, 2.0);
 *         double x;
 *         if (mob_get(a, &x, MOB_FOREVER) != MOB_OK)
 *             return mob_print_error(stderr), 1;
 *         printf("%g\n", x);
 *         mob_shutdown();
 *     }
 *
 * Build: cc program.c $(pkg-config --cflags --libs mobula), gnu11 or later, or C++17; gcc or clang.
 *
 * DRIVER AND WORKERS. The same executable is both. In the driver mob_init connects to the cluster
 * that MOBULA_ADDRESS names, or starts a private one that ends with the process. In a worker
 * mob_init never returns: it runs tasks until the library ends the process by _exit. So what
 * stands before mob_init in main runs in every worker too; constructors as well.
 *
 * REFERENCES. mob_remote returns at once, with a reference: a small struct that names the result
 * and knows its type. A reference is an argument like any other: a parameter of type T takes a T
 * or a MOB_REF(T), and the task starts when the value exists; a parameter of type MOB_REF(T)
 * receives the reference itself. Wrong counts and wrong types do not compile, in C and in C++,
 * without any warning flag.
 *
 * WHO FREES WHAT
 *   - A reference: the driver drops it with mob_drop, once, when it needs the value no more. What
 *     a task obtained (its arguments, results of its calls, puts) is dropped when it ends, unless
 *     it did so before.
 *   - Passing a reference as an argument lends it: the caller still has it. mob_move(r) as the
 *     argument passes it on: it is dropped for the caller, as in mob_remote(f,
 *     mob_move(mob_remote(g, 1))). mob_copy(r) makes a second one, to be dropped by itself.
 *   - What mob_get stores of text, bytes and arrays is a view into memory of the library: read
 *     it, never write or free it. It is valid until the reference is dropped. Numbers and structs
 *     of numbers are copied: yours. mob_take is mob_get and mob_drop in one, for such plain
 *     values.
 *   - The arguments of a task are views as well, valid until it returns.
 *   - What a task returns of text, bytes and arrays is memory from mob_alloc or mob_format, which
 *     the library frees, and passes on without a copy where it can; or it is an argument, or
 *     static memory such as a literal. Never memory of the stack; memory of malloc would leak.
 *     All that a task has from mob_alloc is freed when it ends; in a driver mob_free frees it.
 *   - What you hand in (arguments, mob_put) is copied before the call returns.
 *
 * THREADS. All functions may be called from any thread, also at once, after mob_init has
 * returned; one reference may be read by many threads, its drop is the last use. Tasks run one at
 * a time in their process. Calls made by one thread keep their order. After fork the child must
 * not call Mobula: it gets MOB_EFORKED; one that returns from the task which forked it is ended.
 *
 * BLOCKING. mob_init and mob_shutdown take as long as they need; mob_get, mob_take, mob_get_all
 * and mob_wait block up to their time-out in milliseconds: MOB_FOREVER waits, 0 polls. A task
 * that blocks in them, in any of its threads, lends its cpu to other tasks. Nothing else blocks.
 *
 * ERRORS. Functions return MOB_OK (0) or a negative MOB_E*. The macros also leave the sentence in
 * the thread's last error: mob_print_error prints it, mob_last_error gives it. A call that cannot
 * be submitted returns a reference whose get gives the error, so nothing needs a check but
 * mob_get. A task fails by mob_fail(code, format, ...), by an exception (C++) or by crashing;
 * whoever gets its result, or the result of a task that depends on it, sees code, text, place and
 * the chain of causes. A task whose worker dies is run again (3 times by default), so it must not
 * matter if it runs twice; one that fails by itself is not.
 *
 * IN A WORKER the same functions work as in the driver: a task may call tasks, put and get, and
 * its calls are its own: those still open when it returns go on, and their results are dropped.
 * What it writes to stdout and stderr appears in the driver, line by line, with its name in
 * front. Global variables are those of the worker process: several tasks see them one after the
 * other, no other process does.
 *
 * TYPES
 *     bool, int8_t ... int64_t, uint8_t ... uint64_t, float, double
 *     short, int, long, unsigned, size_t, ssize_t, ptrdiff_t: names for the one of the same width,
 *         so MOB_REF(size_t) and MOB_REF(uint64_t) are one type
 *     mob_text, mob_bytes, and arrays: mob_doubles, mob_floats, mob_int8s ... mob_uint64s
 *     structs by MOB_STRUCT or MOB_FIELDS, arrays of them by MOB_LIST, own encodings by
 *         MOB_CODEC, and MOB_REF of any
 *
 * A type is written as one word: char, long long, struct point are none (in C++ any name will
 * do). Any number may be passed for a number, as in a C call, except a floating one for an
 * integer. An integer that does not fit the parameter makes the call fail with MOB_EINVAL:
 * nothing is cut off in silence. What is read has the type that was written, exactly: bytes of
 * another type are MOB_ETYPE. */
/* lint-allow: file-length: the only public header, which is the manual */
#ifndef MOBULA_H
#define MOBULA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __cplusplus
#include <exception>   /* lint-allow: core: C++ only */
#include <type_traits> /* lint-allow: core: C++ only */
#endif
#pragma GCC system_header

#if !defined __GNUC__ || !defined __LP64__ || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "mobula: needs gcc or clang on a 64-bit little-endian machine"
#endif

#define MOB_VERSION_MAJOR  0
#define MOB_VERSION_MINOR  1
#define MOB_VERSION_PATCH  0
#define MOB_VERSION_NUMBER (MOB_VERSION_MAJOR * 10000 + MOB_VERSION_MINOR * 100 + MOB_VERSION_PATCH)
#define MOB_VERSION_TEXT   "0.1.0"

#define MOB_API __attribute__((visibility("default")))
#ifndef MOB_MUST_CHECK
#define MOB_MUST_CHECK __attribute__((warn_unused_result))
#endif
#define MOB_FOREVER (-1) /* a time-out that never comes */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors -------------------------------------------------------------------------------- */

/* Negative numbers are Mobula's and never change; positive ones are codes of your own, given to
 * mob_fail. */
#ifndef MOB_PROTOCOL_ERRORS_H
enum mob_code {
    MOB_OK = 0,
    MOB_EINVAL = -1,               /* invalid argument */
    MOB_ENOMEM = -2,               /* out of memory */
    MOB_ETIMEDOUT = -3,            /* timed out */
    MOB_EAGAIN = -4,               /* not ready */
    MOB_ENOTINIT = -5,             /* the library is not initialised */
    MOB_EALREADY = -6,             /* already initialised */
    MOB_EFORKED = -7,              /* called in a forked child */
    MOB_ETYPE = -8,                /* type mismatch */
    MOB_EENCODING = -9,            /* malformed value */
    MOB_EDUPLICATE = -10,          /* two definitions of one name */
    MOB_ETOOBIG = -11,             /* above a size limit */
    MOB_ELIMIT = -12,              /* a table is full */
    MOB_ESYSTEM = -13,             /* a system call failed */
    MOB_ENOTFOUND = -14,           /* not found */
    MOB_EOPTION = -15,             /* unknown or bad option */
    MOB_EBUG = -16,                /* internal error */
    MOB_EUNSUPPORTED = -17,        /* not supported here */
    MOB_EREMOTE = -18,             /* a reference is of no use here */
    MOB_ENOCHILD = -19,            /* a program needed to start was not found */
    MOB_ETASKFAILED = -40,         /* the task failed */
    MOB_EWORKERDIED = -41,         /* the worker died while running the task */
    MOB_ENOFUNCTION = -42,         /* the worker's program has no such task */
    MOB_ECANCELLED = -43,          /* cancelled */
    MOB_EDEPENDENCY = -44,         /* an argument's task failed */
    MOB_EWORKERSMAX = -45,         /* every worker waits and no more may start */
    MOB_EWORKERSTART = -46,        /* a worker did not start */
    MOB_EUNSCHEDULABLE = -47,      /* no node can ever run this */
    MOB_ETASKTIMEOUT = -48,        /* the task ran longer than its limit */
    MOB_EOUTOFMEMORY = -49,        /* the task used more memory than it may */
    MOB_EACTORDIED = -50,          /* the actor has ended */
    MOB_EACTORUNAVAILABLE = -51,   /* the actor cannot be reached now */
    MOB_EACTORCREATE = -52,        /* the actor could not be created */
    MOB_EACTORUNSCHEDULABLE = -53, /* no node can ever run this actor */
    MOB_ENOTSTARTED = -54,         /* the call did not start */
    MOB_EUNKNOWN = -55,            /* the call may or may not have run */
    MOB_EPENDINGCALLS = -56,       /* too many calls wait for the actor */
    MOB_ENAMETAKEN = -57,          /* the name is taken */
    MOB_EGROUPREMOVED = -58,       /* the placement group was removed */
    MOB_ESTREAMEND = -59,          /* end of the stream */
    MOB_EENVIRONMENT = -60,        /* the job's files could not be set up */
    MOB_ESTOREFULL = -80,          /* the object store is full */
    MOB_EOBJECTLOST = -81,         /* all copies of the object are lost */
    MOB_EOWNERDIED = -82,          /* the object's owner has ended */
    MOB_ENOOBJECT = -83,           /* no such object */
    MOB_EFREED = -84,              /* the object was freed */
    MOB_ENOREBUILD = -85,          /* the object cannot be rebuilt */
    MOB_EREBUILDMAX = -86,         /* the object was rebuilt too often */
    MOB_ELINEAGELOST = -87,        /* the record of how to rebuild the object is gone */
    MOB_EFETCHTIMEOUT = -88,       /* the object could not be fetched in time */
    MOB_EOUTOFDISK = -89,          /* the disk is full */
    MOB_ECHECKSUM = -90,           /* an object's bytes are damaged */
    MOB_EFENCED = -91,             /* this process was declared dead */
    MOB_ENOHEAD = -120,            /* the head cannot be reached */
    MOB_ENONODE = -121,            /* the node cannot be reached */
    MOB_ENODEDIED = -122,          /* the node has ended */
    MOB_EVERSION = -123,           /* another protocol version */
    MOB_EPROTO = -124,             /* malformed message */
    MOB_EPEERDIED = -125,          /* the other process has ended */
    MOB_ESHUTDOWN = -126,          /* shutting down */
    MOB_EEPOCH = -127,             /* another epoch of the head */
    MOB_ESTARTUP = -128,           /* the private cluster did not start */
    MOB_EDENIED = -160,            /* not allowed */
    MOB_EIDENTITY = -161,          /* the sender is not who it claims to be */
    MOB_EINSECURE = -162,          /* refused without keys */
    MOB_EJOURNAL = -200,           /* the head's database failed */
    MOB_EBEHIND = -201,            /* the database is older than what was acknowledged */
    MOB_ESCHEMA = -202,            /* the database has another schema */
};
#endif

/* What went wrong: a code, and text of one line: what, where, why, what to do; then one line per
 * cause. */
struct mob_error {
    int code;      /* MOB_E*; MOB_ETASKFAILED when a task called mob_fail, MOB_EDEPENDENCY when one
                      before it failed */
    int user_code; /* the code given to mob_fail by the task where it began; 0 if none was */
    int root_code; /* the MOB_E* where it began: `code`, or that of the last cause */
    char text[1024];
};

/* The error of this thread's last failed call of a typed macro or mob_init; never NULL, its code
 * is MOB_OK if there was none. Valid until the thread's next call. MT-Safe. */
MOB_API const struct mob_error *mob_last_error(void);
/* Print it to `stream`, with a line end. MT-Safe. */
MOB_API void mob_print_error(FILE *stream);
/* "MOB_ETIMEDOUT", "timed out", what to do, and whether the same call may succeed later. Static
 * strings. MT-Safe. */
MOB_API const char *mob_error_name(int code);
MOB_API const char *mob_error_text(int code);
MOB_API const char *mob_error_advice(int code);
MOB_API bool mob_error_retry(int code);

/* ---- Life ---------------------------------------------------------------------------------- */

/* A line of output that a task wrote, or a notice of the library. Lines are whole; `text` has no
 * line end and no terminating NUL. */
struct mob_output {
    size_t size;      /* of this struct */
    int stream;       /* 1 stdout, 2 stderr, 0 a notice of the library */
    int process;      /* the worker's process id, 0 for a notice */
    const char *task; /* the name of the task, or NULL */
    const char *text;
    size_t text_size; /* bytes */
};

/* All members but `size` may be 0, which means the default. MOB_CONFIG_INIT makes such a one. */
struct mob_config {
    size_t size;          /* sizeof(struct mob_config): set by MOB_CONFIG_INIT */
    const char *address;  /* of a head: "ipc:///path"; default: MOBULA_ADDRESS, else private */
    const char *libexec;  /* where mobula-head and mobula-node are; default: MOBULA_LIBEXEC, beside
                             the library, ... */
    uint32_t cpus;        /* of a private cluster; default: those that this process may use */
    uint32_t workers_max; /* worker processes of a private cluster, those that wait included;
                             default: 256 */
    uint64_t store_bytes; /* object store of a private cluster; default: 30 % of the memory */
    uint32_t inline_bytes_max; /* values above it go through the store; default: 102400 */
    int32_t start_timeout_ms;  /* default: 30000 */
    uint32_t quiet;            /* 1: neither output of tasks nor notices are shown */
    uint32_t reserved;
    /* Receives output and notices instead of stdout and stderr. Called on a thread of the library,
     * one call at a time; must not block for long and must not call Mobula. */
    void (*output)(const struct mob_output *output, void *user);
    void *output_user;
};
#define MOB_CONFIG_INIT                                                                            \
    {                                                                                              \
        sizeof(struct mob_config), NULL, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, NULL                     \
    }

/* Join the cluster, or start a private one. Call it first in main, once. `argc` and `argv` (may
 * be NULL) are handed to the workers; nothing is taken out of them. `config` may be NULL. In a
 * worker it does not return. Blocks. Errors: MOB_EALREADY, MOB_EDUPLICATE (two tasks of one name:
 * the text names both files), MOB_ENOCHILD, MOB_ESTARTUP, MOB_ENOHEAD, MOB_EVERSION, MOB_EDENIED,
 * ... Not safe against calls by other threads. */
MOB_API MOB_MUST_CHECK int mob_init(int *argc, char ***argv, const struct mob_config *config);
/* Leave. Tasks that still run are lost, views end, references are void. A private cluster is gone
 * when it returns. Without it the same happens when the process ends, in whichever way. May be
 * repeated. Blocks. */
MOB_API void mob_shutdown(void);
/* Whether this process is a worker: also before mob_init, to skip what only the driver needs.
 * MT-Safe. */
MOB_API bool mob_is_worker(void);
/* The library's version as MOB_VERSION_NUMBER; compare it with the header's. */
MOB_API int mob_version(void);

/* ---- Types that a value may have ----------------------------------------------------------- */

typedef const char *mob_text; /* NUL-terminated; NULL is a value of its own and arrives as NULL */

typedef struct mob_bytes {
    const void *data;
    size_t size; /* bytes */
} mob_bytes;

/* mob_bytes_of(pointer, size in bytes): a view, nothing is copied. */
static inline mob_bytes mob_bytes_of(const void *data, size_t size)
{
    mob_bytes bytes = {data, size};
    return bytes;
}

/* mob_doubles {const double *data; size_t count;} and mob_doubles_of(pointer, count), and so on
 * for each number. The data are aligned for their type; those of a large array, in place in
 * shared memory, to 64 bytes. */
#define MOB_ARRAY_TYPE(T, name)                                                                    \
    typedef struct name {                                                                          \
        const T *data;                                                                             \
        size_t count;                                                                              \
    } name;                                                                                        \
    static inline name name##_of(const T *data, size_t count)                                      \
    {                                                                                              \
        name array = {data, count};                                                                \
        return array;                                                                              \
    }
MOB_ARRAY_TYPE(int8_t, mob_int8s)
MOB_ARRAY_TYPE(int16_t, mob_int16s)
MOB_ARRAY_TYPE(int32_t, mob_int32s)
MOB_ARRAY_TYPE(int64_t, mob_int64s)
MOB_ARRAY_TYPE(uint8_t, mob_uint8s)
MOB_ARRAY_TYPE(uint16_t, mob_uint16s)
MOB_ARRAY_TYPE(uint32_t, mob_uint32s)
MOB_ARRAY_TYPE(uint64_t, mob_uint64s)
MOB_ARRAY_TYPE(float, mob_floats)
MOB_ARRAY_TYPE(double, mob_doubles)
#undef MOB_ARRAY_TYPE

/* ---- Memory -------------------------------------------------------------------------------- */

/* Memory for text, bytes and arrays that a task returns or that mob_put gets: 64-byte aligned,
 * not zeroed. NULL if there is none. Inside a task the library frees it when the task ends,
 * outside mob_free does. MT-Safe. */
MOB_API void *mob_alloc(size_t size);
MOB_API void mob_free(void *memory); /* NULL is fine */
/* Memory for `count` items of type T, NULL also when the product is too large:
 * double *y = mob_alloc_array(double, 1000); */
#define mob_alloc_array(T, count) ((T *)mob_alloc_items((count), sizeof(T)))
MOB_API void *mob_alloc_items(size_t count, size_t size);
/* A text as printf would print it, in memory from mob_alloc, or NULL:
 * return mob_format("%d words", n); */
MOB_API char *mob_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- The plain API: what the macros use, and bindings for other languages ---------------------
 * These functions never touch the thread's last error: they fill `err`, which may be NULL.
 * MT-Safe all of them. */

struct mob_task; /* a task that runs in this process */
struct mob_type; /* describes a type of C: see Machinery */

/* A reference without a type. {0, 0} is none. Each one that is handed out is one handle, to be
 * dropped once. */
struct mob_id {
    uint64_t owner, seq;
};

/* An encoded value, which says what it is: docs/PROTOCOL.md, "Values". Views are aligned to 64
 * bytes, or at least 8. */
struct mob_value {
    const void *data;
    size_t size; /* bytes */
};

/* A value in pieces, so that header and payload need not be joined. */
struct mob_piece {
    const void *data;
    size_t size;
};

/* How a task is to be run. Members that are 0 mean the default. */
struct mob_options {
    size_t size;      /* sizeof(struct mob_options): set by MOB_OPTIONS and MOB_OPTIONS_INIT */
    const char *name; /* shown instead of the function's name; must last as long as the process */
    int32_t retries;  /* how often it is run again when its worker dies; default 3; MOB_NO_RETRIES:
                         never */
    int32_t cpus;     /* in 1/10000 of a cpu; default 10000; MOB_NO_CPUS: none */
    int64_t timeout_ms; /* how long it may run before it is stopped with MOB_ETASKTIMEOUT; default:
                           no limit */
    uint64_t memory_bytes;
};
#define MOB_NO_RETRIES (-1)
#define MOB_NO_CPUS    (-1)
#define MOB_OPTIONS_INIT                                                                           \
    {                                                                                              \
        sizeof(struct mob_options), NULL, 0, 0, 0, 0                                               \
    }
#ifndef __cplusplus
/* Options as an argument: MOB_OPTIONS(.retries = 5, .cpus = 20000). C only; C++ fills a struct
 * mob_options. */
#define MOB_OPTIONS(...)                                                                           \
    (&(const struct mob_options){.size = sizeof(struct mob_options), __VA_ARGS__})
#endif

/* Where an argument or result of a task lies in the struct that MOB_TASK makes for them. */
struct mob_slot {
    const struct mob_type *type;
    size_t offset;
};

/* A function that may be run as a task. MOB_TASK makes a static one; it must stay where it is as
 * long as the process lives, so a shared library that defines tasks must not be unloaded. */
struct mob_function {
    const char *name, *signature, *file;
    int line;
    uint32_t arg_count, result_count;
    uint32_t flags;                    /* 0 */
    int (*run)(struct mob_task *task); /* MOB_OK, or a MOB_E* by which the task fails */
    void *user;                        /* for `run`: mob_task_user */
    const struct mob_slot *slots;      /* arguments, then results; NULL if registered at run time */
    const struct mob_options *options; /* of the definition, or NULL */
    uint64_t id;                       /* what follows is set by mob_function_link */
    struct mob_function *next, *next_same;
};

/* Add `function` to those that this process knows. No lock, no allocation, cannot fail: made for
 * constructors, also of libraries that are opened later. Its id is the FNV-1a hash of
 * "name(type,type)result,result", types by their names on the wire, a reference with a * in front,
 * as in "area(double,*point)double". */
MOB_API void mob_function_link(struct mob_function *function);
/* The same at run time. Copies name and signature, such as "area" and "(double)double"; NULL on
 * failure: MOB_ENOMEM, MOB_EINVAL, MOB_EDUPLICATE. */
MOB_API const struct mob_function *mob_function_register(const char *name, const char *signature,
                                                         uint32_t arg_count, uint32_t result_count,
                                                         int (*run)(struct mob_task *), void *user,
                                                         struct mob_error *err);

enum mob_arg_kind {
    MOB_ARG_VALUE,     /* `pieces` are the value */
    MOB_ARG_REF_VALUE, /* wait for `ref`, then pass its value */
    MOB_ARG_REF,       /* pass `ref` itself */
};
struct mob_arg {
    uint32_t kind;
    uint32_t moved; /* 1: the caller's handle of `ref` is dropped by the call, also when it fails */
    struct mob_id ref;
    const struct mob_piece *pieces;
    uint32_t piece_count;
};
struct mob_call {
    const struct mob_function *function;
    const struct mob_arg *args;
    uint32_t arg_count;
    const struct mob_options *options; /* or NULL: the function's, then the defaults */
    const char *file;
    int line;
    const struct mob_error *refused; /* NULL, or why an argument is none: results get this error */
};

/* Submit a task. `results` has room for function->result_count ids and is always filled; after a
 * failure with references whose get gives the error. Does not block, but for arguments above the
 * inline limit, which wait until the node has given them room. */
MOB_API int mob_submit(const struct mob_call *call, struct mob_id *results, struct mob_error *err);
/* Make an object of a value. MOB_ESTOREFULL, MOB_ENOMEM. */
MOB_API int mob_put_pieces(const struct mob_piece *pieces, uint32_t count, struct mob_id *out,
                           struct mob_error *err);
/* Have `size` bytes of the object store mapped and backed by memory in this process, so that the
 * next values of that size in all are put at the speed of memcpy. Blocks while the memory is
 * populated. MOB_ESTOREFULL, MOB_ESYSTEM. MT-Safe. */
MOB_API int mob_reserve(size_t size, struct mob_error *err);
/* The value, as a view that is valid until the reference is dropped. MOB_ETIMEDOUT, or the error
 * of its task. Blocks. */
MOB_API int mob_get_value(struct mob_id ref, struct mob_value *out, int64_t timeout_ms,
                          struct mob_error *err);
/* All of them, in order; the first error in the order of `refs` after all have ended. */
MOB_API int mob_get_values(const struct mob_id *refs, size_t count, struct mob_value *out,
                           int64_t timeout_ms, struct mob_error *err);
/* Until `wanted` of them have ended, with a value or an error: ready[i] says which, *ready_count
 * how many; they may be more. MOB_ETIMEDOUT when they are fewer; both are filled then too.
 * Blocks. */
MOB_API int mob_wait_refs(const struct mob_id *refs, size_t count, size_t wanted,
                          int64_t timeout_ms, bool *ready, size_t *ready_count,
                          struct mob_error *err);
/* One more handle; one fewer. */
MOB_API int mob_ref_hold(struct mob_id ref);
MOB_API void mob_ref_drop(struct mob_id ref);
/* A reference is about to leave inside a value; one has arrived inside a value, which makes one
 * handle. */
MOB_API int mob_ref_share(struct mob_id ref);
MOB_API int mob_ref_adopt(struct mob_id ref);
/* Memory that lives as long as the view that mob_get_value gave of `ref`; NULL if there is none. */
MOB_API void *mob_ref_scratch(struct mob_id ref, size_t size);

/* A descriptor that is readable when watched references have ended; mob_completion_take says
 * which, up to `max`, and returns how many. For programs with a poll loop. Negative: a MOB_E*. */
MOB_API int mob_completion_fd(struct mob_error *err);
MOB_API int mob_completion_watch(struct mob_id ref, struct mob_error *err);
MOB_API size_t mob_completion_take(struct mob_id *out, size_t max);

/* Inside a task: its arguments as they were passed (`kind` is MOB_ARG_VALUE or MOB_ARG_REF), its
 * results, its user pointer, and whether mob_fail was called. A view of an argument is valid
 * until `run` returns. mob_task_result copies, or passes memory of mob_alloc on in place. */
MOB_API uint32_t mob_task_arg_count(const struct mob_task *task);
MOB_API int mob_task_arg(struct mob_task *task, uint32_t index, uint32_t *kind,
                         struct mob_value *value, struct mob_id *ref, struct mob_error *err);
MOB_API int mob_task_result(struct mob_task *task, uint32_t index, const struct mob_piece *pieces,
                            uint32_t count, struct mob_error *err);
MOB_API void *mob_task_user(const struct mob_task *task);
MOB_API bool mob_task_failed(const struct mob_task *task);
/* What mob_fail calls. With a negative code, a MOB_E*, the task fails with that one; `file` may
 * be NULL. */
MOB_API void mob_fail_at(const char *file, int line, int user_code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The thread's last error, for the macros to write. */
MOB_API struct mob_error *mob_last_error_slot(void);

#ifdef __cplusplus
}
#endif

/* ---- Defining tasks ---------------------------------------------------------------------------
 *
 * MOB_TASK(R, name, (T, parameter)...) { body }
 *     A static function `name` that may also be called directly, and run anywhere by mob_remote.
 *     Up to 15 parameters; R may be void. Names are unique in a program.
 *
 * MOB_TASK_DECLARE(R, name, (T, parameter)...);          in a header
 * MOB_TASK_DEFINE(R, name, (T, parameter)...) { body }   in one .c that includes it
 *     A task that several files call. In a static archive use this form: the call is what makes
 *     the linker take the file with the definition. (A file of an archive that nothing refers to
 *     is left out, with its tasks.)
 *
 * MOB_TASK_RESULTS(name, ((T, result)...), (T, parameter)...) { body }
 *     Several results. The body is a void function with a first parameter `results`, which points
 *     to a struct with those members, all zero. mob_remote returns a MOB_REFS(name): a struct of
 *     as many references, each to be dropped.
 *
 *         MOB_TASK_RESULTS(divide, ((int64_t, quotient), (int64_t, rest)),
 *                          (int64_t, a), (int64_t, b))
 *         {
 *             if (b == 0) {
 *                 mob_fail(1, "division of %lld by zero", (long long)a);
 *                 return;
 *             }
 *             results->quotient = a / b;
 *             results->rest = a % b;
 *         }
 *         ...
 *         MOB_REFS(divide) r = mob_remote(divide, 17, 5);
 *         int64_t rest;
 *         int rc = mob_get(r.rest, &rest, MOB_FOREVER);
 *
 * MOB_TASK_OPTIONS(name, .retries = MOB_NO_RETRIES, ...);  (C)
 *     Options for all calls of a task, after its definition. Those of a call replace them as a
 *     whole.
 *
 * mob_fail(code, format, ...)
 *     The task that runs on this thread fails, whatever it returns:
 *         return mob_fail(7, "no %s", name), 0.0;
 *     `code` is above 0 and is user_code of the error. Outside a task it does nothing. */
#define MOB_TASK(R, ...) MOB_APPLY(MOB_TASK_, R, MOB_FIRST(__VA_ARGS__, ), __VA_ARGS__)
#define MOB_TASK_DECLARE(R, ...)                                                                   \
    MOB_APPLY(MOB_TASK_DECLARE_, R, MOB_FIRST(__VA_ARGS__, ), __VA_ARGS__)
#define MOB_TASK_DEFINE(R, ...)                                                                    \
    MOB_APPLY(MOB_TASK_DEFINE_, R, MOB_FIRST(__VA_ARGS__, ), __VA_ARGS__)
#define MOB_TASK_RESULTS(name, ...)                                                                \
    MOB_APPLY(MOB_TASK_RESULTS_, name, MOB_FIRST(__VA_ARGS__, ),                                   \
              name MOB_EACH(MOB_AND, __VA_ARGS__))
#define mob_fail(code, ...) mob_fail_at(__FILE__, __LINE__, (code), __VA_ARGS__)

/* ---- Types of your own ------------------------------------------------------------------------
 *
 * MOB_STRUCT(point, (double, x), (double, y));
 *     A new struct `point`, with up to 15 fields.
 *
 * MOB_FIELDS(existing, (double, x), (double, y));
 *     The fields of a struct that exists, whose type has a name of one word. Those not listed are
 *     not sent and arrive as zero.
 *
 *     Fields may be of any type: text, bytes, arrays, references and other structs too. Their names
 *     travel with the value: one that the reader does not know is skipped, one that the writer did
 *     not know is zero. So a field may be added later, and a number may become wider.
 *
 * MOB_LIST(point, points);
 *     An array of structs, or of any type: struct points {const point *data; size_t count;}.
 *
 * MOB_CODEC(type, encode, decode);
 *     Values of `type` travel as bytes of your own making:
 *         int encode(const type *value, struct mob_writer *out);
 *     calls mob_write, any number of times, and returns its answer;
 *         int decode(type *value, const void *data, size_t size, struct mob_memory *memory);
 *     fills *value from bytes that anybody may have written, and returns MOB_OK or MOB_EENCODING.
 *     It may point into `data`, which begin at a multiple of 8, and into memory from
 *     mob_memory_get: both live as long as the value. There are no references in such a type.
 *
 * All at file scope, ended by a semicolon. */
struct mob_writer;
struct mob_memory;
#ifdef __cplusplus
extern "C" {
#endif
/* For encoders: append bytes. MOB_OK or MOB_ENOMEM. For decoders: memory, aligned to 16 bytes,
 * NULL if there is none. */
MOB_API int mob_write(struct mob_writer *out, const void *data, size_t size);
MOB_API void *mob_memory_get(struct mob_memory *memory, size_t size);
#ifdef __cplusplus
}
#endif
#define MOB_STRUCT(S, ...)                                                                         \
    typedef struct S S;                                                                            \
    struct S {                                                                                     \
        MOB_EACH(MOB_FIELD_DECLARE, S, __VA_ARGS__)                                                \
    };                                                                                             \
    MOB_FIELDS(S, __VA_ARGS__)
#define MOB_FIELDS(S, ...)                                                                         \
    MOB_EACH(MOB_FIELD_CHECK, S, __VA_ARGS__)                                                      \
    MOB_CONST struct mob_field mob_fields_##S[] = {MOB_EACH(MOB_FIELD_ROW, S, __VA_ARGS__)};       \
    MOB_TYPE_NEW(S, MOB_KIND_STRUCT, (1 MOB_EACH(MOB_FIELD_PLAIN, S, __VA_ARGS__)), NULL,          \
                 mob_fields_##S, MOB_COUNT(S, __VA_ARGS__), NULL, NULL)
#define MOB_LIST(T, S)                                                                             \
    typedef struct S {                                                                             \
        const T *data;                                                                             \
        size_t count;                                                                              \
    } S;                                                                                           \
    MOB_CHECK_TYPE(T)                                                                              \
    MOB_TYPE_NEW(S, MOB_KIND_LIST, 0, MOB_INFO(T), NULL, 0, NULL, NULL)
#define MOB_CODEC(S, encode, decode)                                                               \
    MOB_CODEC_CHECK(S, encode, decode)                                                             \
    static inline int mob_encode_##S(const void *mob_v, struct mob_writer *mob_w)                  \
    {                                                                                              \
        return encode((const S *)mob_v, mob_w);                                                    \
    }                                                                                              \
    static inline int mob_decode_##S(void *mob_v, const void *mob_d, size_t mob_s,                 \
                                     struct mob_memory *mob_m)                                     \
    {                                                                                              \
        return decode((S *)mob_v, mob_d, mob_s, mob_m);                                            \
    }                                                                                              \
    MOB_TYPE_NEW(S, MOB_KIND_CODEC, 0, NULL, NULL, 0, mob_encode_##S, mob_decode_##S)

/* ---- Calls ------------------------------------------------------------------------------------
 *
 * Macros, since C has no other way to check types. Each argument is evaluated once, from left to
 * right; a compound literal as one needs parentheses: mob_remote(mirror, ((point){1, 2})).
 * All are MT-Safe. What blocks says so.
 *
 * MOB_REF(T)
 *     The type of a reference to a T; 24 bytes, copied like a number (which makes no second handle:
 *     mob_copy does). MOB_NO_REF initialises one that refers to nothing: its get is MOB_ENOOBJECT.
 *
 * MOB_REF(R) mob_remote(name, argument...)
 *     Run the task somewhere. Numbers, structs, text, bytes and arrays are copied before it
 *     returns, references are lent, or passed on by mob_move. Does not block, but for a large
 *     argument, which waits until its node has given it room. Never fails itself:
 *     what is wrong (MOB_EINVAL for a number that does not fit, MOB_ENOMEM, MOB_ENOTINIT, ...) is
 *     what the get of its result gives. For a task of several results it gives a MOB_REFS(name).
 *
 * MOB_REF(R) mob_remote_with(options, name, argument...)
 *     The same with options: MOB_OPTIONS(.retries = 5), or a pointer to a struct mob_options.
 *
 * MOB_REF(T) mob_put(T, value)
 *     A copy of the value as an object, for many tasks to use. A large one waits until its node
 *     has given it room; errors as above, and MOB_ESTOREFULL.
 *
 * int mob_get(MOB_REF(T) ref, T *out, int64_t timeout_ms)
 *     Wait for the value and store it, or a view of it. May be repeated, by any number of
 *     threads. `out` is a pointer to exactly T; for a MOB_REF(void) it is NULL (nullptr in C++).
 *     References in the value are one handle more each time, to be dropped. Blocks. Errors:
 *     MOB_ETIMEDOUT, nothing is lost; MOB_ETASKFAILED and others, for which the task ended;
 *     MOB_ETYPE, MOB_EENCODING when the value is of another type or damaged; MOB_ENOOBJECT, `ref`
 *     was dropped or refers to nothing.
 *
 * int mob_take(MOB_REF(T) ref, T *out, int64_t timeout_ms)
 *     mob_get, then mob_drop, unless it returned MOB_ETIMEDOUT. For numbers, references, and
 *     structs of them: what else there is would end with the reference.
 *
 * int mob_get_all(const MOB_REF(T) *refs, size_t count, T *out, int64_t timeout_ms)
 *     The values of all, in order. One time-out for all of them. Waits until each has ended, also
 *     when one has failed; returns the error of the first in the array that did. Blocks.
 *
 * int mob_wait(const MOB_REF(T) *refs, size_t count, size_t wanted, int64_t timeout_ms, bool
 * *ready)
 *     Wait until `wanted` of them have ended, well or badly: ready[i] says which. MOB_ETIMEDOUT
 *     when fewer have; `ready` is filled then too. Blocks.
 *
 * MOB_REF(T) mob_copy(MOB_REF(T) ref)    one more handle of the same
 * void mob_drop(MOB_REF(T) ref)          the end of a handle, and of the views that mob_get gave
 * mob_move(MOB_REF(T) ref)               as an argument only: pass the handle on
 * struct mob_id mob_id_of(MOB_REF(T))    for the plain API */
#define mob_remote(...) MOB_APPLY(MOB_CALL, NULL, MOB_FIRST(__VA_ARGS__, ), __VA_ARGS__)
#define mob_remote_with(options, ...)                                                              \
    __extension__({                                                                                \
        MOB_AUTO mob_o = (options);                                                                \
        MOB_ASSERT(MOB_IS_OPTIONS(mob_o), "mobula: mob_remote_with: the first argument is no "     \
                                          "pointer to a struct mob_options");                      \
        MOB_APPLY(MOB_CALL, mob_o, MOB_FIRST(__VA_ARGS__, ), __VA_ARGS__);                         \
    })
#define MOB_REFS(name) mob_result_##name
#define MOB_NO_REF                                                                                 \
    {                                                                                              \
        {                                                                                          \
            {0, 0}, NULL                                                                           \
        }                                                                                          \
    }
#define mob_put(T, ...) MOB_PUT(T, (__VA_ARGS__))
#define mob_get(ref, out, timeout_ms)                                                              \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (ref);                                                                    \
        MOB_AUTO mob_o = (out);                                                                    \
        MOB_AUTO mob_t = (timeout_ms);                                                             \
        MOB_CHECK_GET(mob_r, mob_o, mob_t, "mob_get");                                             \
        mob_get_typed(&mob_r.any, 1, MOB_OUT(mob_o), mob_t);                                       \
    })
#define mob_take(ref, out, timeout_ms)                                                             \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (ref);                                                                    \
        MOB_AUTO mob_o = (out);                                                                    \
        MOB_AUTO mob_t = (timeout_ms);                                                             \
        MOB_CHECK_GET(mob_r, mob_o, mob_t, "mob_take");                                            \
        MOB_ASSERT(MOB_PLAIN_OF(mob_r),                                                            \
                   "mobula: mob_take: the value has views, of text, bytes or "                     \
                   "arrays, which end with the reference: use mob_get, and "                       \
                   "mob_drop after the last look at them");                                        \
        mob_take_typed(&mob_r.any, MOB_OUT(mob_o), mob_t);                                         \
    })
#define mob_get_all(refs, count, out, timeout_ms)                                                  \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (refs);                                                                   \
        MOB_AUTO mob_n = (count);                                                                  \
        MOB_AUTO mob_o = (out);                                                                    \
        MOB_AUTO mob_t = (timeout_ms);                                                             \
        MOB_CHECK_INTEGER(mob_n, "mob_get_all: the count");                                        \
        MOB_CHECK_REF(*mob_r, "mob_get_all: the first argument");                                  \
        MOB_CHECK_GET(*mob_r, mob_o, mob_t, "mob_get_all");                                        \
        mob_get_typed(&mob_r->any, (size_t)mob_n, MOB_OUT(mob_o), mob_t);                          \
    })
#define mob_wait(refs, count, wanted, timeout_ms, ready)                                           \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (refs);                                                                   \
        MOB_AUTO mob_n = (count);                                                                  \
        MOB_AUTO mob_k = (wanted);                                                                 \
        MOB_AUTO mob_t = (timeout_ms);                                                             \
        MOB_AUTO mob_o = (ready);                                                                  \
        MOB_CHECK_REF(*mob_r, "mob_wait: the first argument");                                     \
        MOB_CHECK_INTEGER(mob_n, "mob_wait: the count");                                           \
        MOB_CHECK_INTEGER(mob_k, "mob_wait: the number wanted");                                   \
        MOB_CHECK_INTEGER(mob_t, "mob_wait: the time-out");                                        \
        MOB_ASSERT(MOB_IS_BOOLS(mob_o), "mobula: mob_wait: the last argument is no bool *");       \
        mob_wait_typed(&mob_r->any, (size_t)mob_n, (size_t)mob_k, mob_t, mob_o);                   \
    })
#define mob_copy(ref)                                                                              \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (ref);                                                                    \
        MOB_CHECK_REF(mob_r, "mob_copy: the argument");                                            \
        mob_ref_hold(mob_r.any.id);                                                                \
        mob_r;                                                                                     \
    })
#define mob_drop(ref)                                                                              \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (ref);                                                                    \
        MOB_CHECK_REF(mob_r, "mob_drop: the argument");                                            \
        mob_ref_drop(mob_r.any.id);                                                                \
    })
#define mob_move(ref)                                                                              \
    __extension__({                                                                                \
        MOB_AUTO mob_r = (ref);                                                                    \
        MOB_CHECK_REF(mob_r, "mob_move: the argument");                                            \
        MOB_MOVED(mob_r) mob_m;                                                                    \
        mob_m.any = mob_r.any;                                                                     \
        mob_m;                                                                                     \
    })
#define mob_id_of(ref) ((ref).any.id)

/* ---- Machinery --------------------------------------------------------------------------------
 *
 * A task definition makes a struct mob_sig_<name>, which has for each parameter its type, the
 * type of a reference to it and its kind; it holds the decoded arguments while the task runs, and
 * its types are what calls are checked against. A call binds each argument once, by __auto_type,
 * so that calls nested in calls do not grow, computes at compile time how it fits, and refuses
 * what does not by static assertions. All arguments stay as they are: encoding, and turning an
 * integer into another width with a check, is done by the library, driven by struct mob_type. So
 * nothing here warns, and little is here. C and C++ differ in how a type is looked up: C pastes
 * names, C++ has templates and overloads. The header is a system header, so that an error names
 * the line of the user. */

enum mob_kind {
    MOB_KIND_NONE,
    MOB_KIND_BOOL,
    MOB_KIND_INT8,
    MOB_KIND_INT16,
    MOB_KIND_INT32,
    MOB_KIND_INT64,
    MOB_KIND_UINT8,
    MOB_KIND_UINT16,
    MOB_KIND_UINT32,
    MOB_KIND_UINT64, /* integers end here */
    MOB_KIND_FLOAT,
    MOB_KIND_DOUBLE, /* numbers end here */
    MOB_KIND_TEXT,
    MOB_KIND_BYTES,
    MOB_KIND_ARRAY,
    MOB_KIND_STRUCT,
    MOB_KIND_REF,
    MOB_KIND_CODEC,
    MOB_KIND_VOID,
    MOB_KIND_LIST,
    /* Classes of types of C that are known at compile time only: 32 + __builtin_classify_type. */
    MOB_CLASS_POINTER = 37,
    MOB_CLASS_STRUCT = 44,
    MOB_CLASS_REF = 45, /* references are the unions */
    /* How an argument fits a parameter, if not as the number or text that it is. */
    MOB_IN_VALUE = 64, /* of exactly the parameter's type */
    MOB_IN_REF,        /* a reference for its value */
    MOB_IN_MOVED,      /* the same, moved */
    MOB_IN_PASSED,     /* a moved reference for a MOB_REF parameter */
    MOB_WRONG_FLOAT,   /* these are refused */
    MOB_WRONG_POINTER_FOR_NUMBER,
    MOB_WRONG_NUMBER,
    MOB_WRONG_POINTER,
    MOB_WRONG_REF,
    MOB_WRONG_TYPE,
};

struct mob_field {
    const char *name;
    const struct mob_type *type;
    size_t offset;
};

struct mob_type {
    const char *name; /* on the wire; NULL for references */
    uint32_t kind;    /* enum mob_kind */
    uint32_t plain;   /* 1: holds no view */
    size_t size;
    const struct mob_type *element; /* of an array, list or reference */
    const struct mob_field *fields;
    size_t field_count;
    int (*encode)(const void *value, struct mob_writer *out);
    int (*decode)(void *value, const void *data, size_t size, struct mob_memory *memory);
};

/* What every typed reference holds. */
struct mob_reference {
    struct mob_id id;
    const struct mob_type *info; /* of the value */
};

/* An argument of a call: where it is, and what: its kind for numbers and text, else one of
 * MOB_IN_*. */
struct mob_in {
    const void *data;
    int how;
};

/* Memory that decoding needed beyond the caller's struct; lives in the trampoline while the task
 * runs. */
struct mob_memory {
    void *blocks;
    struct mob_id ref;
};

/* X(type, name, kind, plain, name on the wire) and X(type, name of the element, name on the
 * wire). The name of bool is another, since bool is a macro in C. */
#define MOB_NUMBER_TYPES(X)                                                                        \
    X(bool, truth, MOB_KIND_BOOL, 1, "bool")                                                       \
    X(int8_t, int8_t, MOB_KIND_INT8, 1, "int8")                                                    \
    X(int16_t, int16_t, MOB_KIND_INT16, 1, "int16")                                                \
    X(int32_t, int32_t, MOB_KIND_INT32, 1, "int32")                                                \
    X(int64_t, int64_t, MOB_KIND_INT64, 1, "int64")                                                \
    X(uint8_t, uint8_t, MOB_KIND_UINT8, 1, "uint8")                                                \
    X(uint16_t, uint16_t, MOB_KIND_UINT16, 1, "uint16")                                            \
    X(uint32_t, uint32_t, MOB_KIND_UINT32, 1, "uint32")                                            \
    X(uint64_t, uint64_t, MOB_KIND_UINT64, 1, "uint64")                                            \
    X(float, float, MOB_KIND_FLOAT, 1, "float")                                                    \
    X(double, double, MOB_KIND_DOUBLE, 1, "double")
#define MOB_VIEW_TYPES(X)                                                                          \
    X(mob_text, mob_text, MOB_KIND_TEXT, 0, "text")                                                \
    X(mob_bytes, mob_bytes, MOB_KIND_BYTES, 0, "bytes")
#define MOB_ARRAY_TYPES(X)                                                                         \
    X(mob_int8s, int8_t, "int8s")                                                                  \
    X(mob_int16s, int16_t, "int16s")                                                               \
    X(mob_int32s, int32_t, "int32s")                                                               \
    X(mob_int64s, int64_t, "int64s")                                                               \
    X(mob_uint8s, uint8_t, "uint8s")                                                               \
    X(mob_uint16s, uint16_t, "uint16s")                                                            \
    X(mob_uint32s, uint32_t, "uint32s")                                                            \
    X(mob_uint64s, uint64_t, "uint64s")                                                            \
    X(mob_floats, float, "floats")                                                                 \
    X(mob_doubles, double, "doubles")

#ifdef __cplusplus
extern "C" {
#endif
#define MOB_EXTERN_TYPE(T, name, ...)                                                              \
    MOB_API extern const struct mob_type mobula_type_##name, mobula_type_mob_ref_to_##name;
#define MOB_EXTERN_ARRAY(T, ...) MOB_EXTERN_TYPE(T, T, )
MOB_NUMBER_TYPES(MOB_EXTERN_TYPE)
MOB_VIEW_TYPES(MOB_EXTERN_TYPE)
MOB_ARRAY_TYPES(MOB_EXTERN_ARRAY)
MOB_EXTERN_TYPE(void, void, )
#undef MOB_EXTERN_TYPE
#undef MOB_EXTERN_ARRAY

/* What the macros call. Each sets the thread's last error. */
MOB_API void mob_call_typed(const struct mob_function *function, const struct mob_options *options,
                            const struct mob_in *in, const char *file, int line,
                            struct mob_reference *results);
MOB_API void mob_put_typed(const struct mob_type *type, const struct mob_in *in,
                           struct mob_reference *result);
MOB_API int mob_get_typed(const struct mob_reference *refs, size_t count, void *out,
                          int64_t timeout_ms);
MOB_API int mob_take_typed(const struct mob_reference *ref, void *out, int64_t timeout_ms);
MOB_API int mob_wait_typed(const struct mob_reference *refs, size_t count, size_t wanted,
                           int64_t timeout_ms, bool *ready);
/* Before and after the body of a task: decode the arguments into `args`; encode the results,
 * unless `rc` or mob_fail say that it failed, and release what decoding needed. */
MOB_API int mob_task_open(struct mob_task *task, const struct mob_slot *slots, uint32_t count,
                          void *args, struct mob_memory *memory);
MOB_API int mob_task_close(struct mob_task *task, const struct mob_slot *slots, uint32_t count,
                           const void *results, struct mob_memory *memory, int rc);
#ifdef __cplusplus
}
#endif

/* MOB_EACH(m, c, a, b, ...) is m(c, 1, a) m(c, 2, b) ...; MOB_EACH_LIST the same with commas, and
 * `none` where there is nothing; MOB_COUNT(c, a, b, ...) is 2. All up to 15. */
#define MOB_CAT(a, b)     MOB_CAT_(a, b)
#define MOB_CAT_(a, b)    a##b
#define MOB_FIRST(a, ...) a
#define MOB_APPLY(m, ...) m(__VA_ARGS__)
#define MOB_NOTHING()
#define MOB_COMMA()      ,
#define MOB_AND(c, i, x) , x
#define MOB_COUNT(...)                                                                             \
    MOB_COUNT_(__VA_ARGS__, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, )
#define MOB_COUNT_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, n, ...) n
/* clang-format off */
#define MOB_EACH(m, ...)            MOB_EACH_(m, , MOB_NOTHING, __VA_ARGS__)
#define MOB_EACH_LIST(m, none, ...) MOB_EACH_(m, none, MOB_COMMA, __VA_ARGS__)
#define MOB_EACH_(m, none, s, ...)                                                                 \
    MOB_CAT(MOB_EACH_, MOB_COUNT(__VA_ARGS__))(m, none, s, __VA_ARGS__)
#define MOB_EACH_0(m, none, s, c)             none
#define MOB_EACH_1(m, none, s, c, a)          m(c, 1, a)
#define MOB_EACH_2(m, none, s, c, a, b)       m(c, 1, a) s() m(c, 2, b)
#define MOB_EACH_3(m, none, s, c, a, b, d)    m(c, 1, a) s() m(c, 2, b) s() m(c, 3, d)
#define MOB_EACH_4(m, none, s, c, a, b, d, e) MOB_EACH_3(m, , s, c, a, b, d) s() m(c, 4, e)
#define MOB_EACH_5(m, none, s, c, a, b, d, e, g)                                                   \
    MOB_EACH_3(m, , s, c, a, b, d) s() m(c, 4, e) s() m(c, 5, g)
#define MOB_EACH_6(m, none, s, c, a, b, d, e, g, h)                                                \
    MOB_EACH_3(m, , s, c, a, b, d) s() m(c, 4, e) s() m(c, 5, g) s() m(c, 6, h)
#define MOB_EACH_7(m, none, s, c, a, b, d, e, g, h, i)                                             \
    MOB_EACH_6(m, , s, c, a, b, d, e, g, h) s() m(c, 7, i)
#define MOB_EACH_8(m, none, s, c, a, b, d, e, g, h, i, j)                                          \
    MOB_EACH_6(m, , s, c, a, b, d, e, g, h) s() m(c, 7, i) s() m(c, 8, j)
#define MOB_EACH_9(m, none, s, c, a, b, d, e, g, h, i, j, k)                                       \
    MOB_EACH_6(m, , s, c, a, b, d, e, g, h) s() m(c, 7, i) s() m(c, 8, j) s() m(c, 9, k)
#define MOB_EACH_10(m, none, s, c, a, b, d, e, g, h, i, j, k, l)                                   \
    MOB_EACH_9(m, , s, c, a, b, d, e, g, h, i, j, k) s() m(c, 10, l)
#define MOB_EACH_11(m, none, s, c, a, b, d, e, g, h, i, j, k, l, n)                                \
    MOB_EACH_9(m, , s, c, a, b, d, e, g, h, i, j, k) s() m(c, 10, l) s() m(c, 11, n)
#define MOB_EACH_12(m, none, s, c, a, b, d, e, g, h, i, j, k, l, n, o)                             \
    MOB_EACH_9(m, , s, c, a, b, d, e, g, h, i, j, k) s() m(c, 10, l) s() m(c, 11, n) s() m(c, 12, o)
#define MOB_EACH_13(m, none, s, c, a, b, d, e, g, h, i, j, k, l, n, o, p)                          \
    MOB_EACH_12(m, , s, c, a, b, d, e, g, h, i, j, k, l, n, o) s() m(c, 13, p)
#define MOB_EACH_14(m, none, s, c, a, b, d, e, g, h, i, j, k, l, n, o, p, q)                       \
    MOB_EACH_12(m, , s, c, a, b, d, e, g, h, i, j, k, l, n, o) s() m(c, 13, p) s() m(c, 14, q)
#define MOB_EACH_15(m, none, s, c, a, b, d, e, g, h, i, j, k, l, n, o, p, q, r)                    \
    MOB_EACH_12(m, , s, c, a, b, d, e, g, h, i, j, k, l, n, o)                                     \
    s() m(c, 13, p) s() m(c, 14, q) s() m(c, 15, r)
/* clang-format on */

/* Of a pair (type, name). */
#define MOB_PAIR_TYPE(T, name) T
#define MOB_PAIR_NAME(T, name) name
#define MOB_PAIR_DECL(T, name) T name
#define MOB_UNWRAP(...)        __VA_ARGS__
#define MOB_SAME(x, y)         MOB_SAME_TYPE(__typeof__(x), __typeof__(y))

/* What the calls refuse. */
#define MOB_CHECK_REF(r, what) MOB_ASSERT(MOB_IS_REF(r), "mobula: " what " is no reference")
#define MOB_CHECK_INTEGER(n, what)                                                                 \
    MOB_ASSERT((int)MOB_KIND_OF(n) <= MOB_KIND_UINT64, "mobula: " what " is no integer")
#define MOB_CHECK_GET(r, out, timeout_ms, what)                                                    \
    MOB_CHECK_REF(r, what ": the first argument");                                                 \
    MOB_CHECK_INTEGER(timeout_ms, what ": the time-out");                                          \
    MOB_ASSERT((MOB_IS_PLACE(r, out)),                                                             \
               "mobula: " what ": the reference is to a value of another type")
#define MOB_IS_BOOLS(b) MOB_SAME_TYPE(__typeof__(b), bool *)

#ifndef __cplusplus /* ---- C: types are found by pasting names ---- */

#define MOB_ASSERT(truth, text) _Static_assert(truth, text)
#define MOB_AUTO                __auto_type
#define MOB_EXTERN              extern
#define MOB_CONST               __attribute__((unused)) static const
#define MOB_SAME_TYPE(A, B)     __builtin_types_compatible_p(A, B)
#define MOB_REF(T)              MOB_CAT(mob_ref_to_, T)
#define MOB_INFO(T)             (&MOB_CAT(mobula_type_, T))
#define MOB_IS_PLAIN(T)         (sizeof(*((MOB_REF(T) *)0)->plain) == 2)
#define MOB_PLAIN_OF(r)         (sizeof(*(r).plain) == 2)
#define MOB_MOVED(r)            __typeof__(*(r).moved)
#define MOB_PASSED(r)           __typeof__(*(r).passed)
#define MOB_OUT(out)            (out)
#define MOB_CHECK_TYPE(T)       /* an unknown type is an unknown name, mob_ref_to_T */
#define MOB_KIND_TYPE(T)        MOB_KIND_OF(*(T *)0)
/* clang-format off */
#define MOB_KIND_OF(x)                                                                             \
    _Generic((x),                                                                                  \
        _Bool: MOB_KIND_BOOL,                                                                      \
        char: (char)-1 < 0 ? MOB_KIND_INT8 : MOB_KIND_UINT8,                                       \
        signed char: MOB_KIND_INT8,                                                                \
        short: MOB_KIND_INT16,                                                                     \
        int: MOB_KIND_INT32,                                                                       \
        long: MOB_KIND_INT64,                                                                      \
        long long: MOB_KIND_INT64,                                                                 \
        unsigned char: MOB_KIND_UINT8,                                                             \
        unsigned short: MOB_KIND_UINT16,                                                           \
        unsigned: MOB_KIND_UINT32,                                                                 \
        unsigned long: MOB_KIND_UINT64,                                                            \
        unsigned long long: MOB_KIND_UINT64,                                                       \
        float: MOB_KIND_FLOAT,                                                                     \
        double: MOB_KIND_DOUBLE,                                                                   \
        char *: MOB_KIND_TEXT,                                                                     \
        const char *: MOB_KIND_TEXT,                                                               \
        default: 32 + __builtin_classify_type(x))
/* clang-format on */
#define MOB_IS_REF(r)        (__builtin_classify_type(r) == 13)
#define MOB_IS_PLACE(r, out) MOB_SAME(out, (r).type)
#define MOB_IS_OPTIONS(o)                                                                          \
    _Generic((o), struct mob_options * : 1, const struct mob_options * : 1, void * : 1, default : 0)

/* The type of a reference and of a moved one. All members but the first only tell types: of the
 * value, whether it is plain (an array of 2), of the moved reference, and for a reference to a
 * reference, of the moved inner one. */
#define MOB_REF_TYPES(T, ref, moved_ref, passed_ref, is_plain)                                     \
    typedef union moved_ref {                                                                      \
        struct mob_reference any;                                                                  \
        T *type;                                                                                   \
    } moved_ref;                                                                                   \
    typedef union ref {                                                                            \
        struct mob_reference any;                                                                  \
        T *type;                                                                                   \
        char (*plain)[1 + (is_plain)];                                                             \
        union moved_ref *moved;                                                                    \
        union passed_ref *passed;                                                                  \
    } ref;
#define MOB_REFS_OF(T, name, is_plain)                                                             \
    MOB_REF_TYPES(T, mob_ref_to_##name, mob_moved_to_##name, mob_none, is_plain)                   \
    MOB_REF_TYPES(mob_ref_to_##name, mob_ref_to_mob_ref_to_##name, mob_moved_to_mob_ref_to_##name, \
                  mob_moved_to_##name, 1)
#define MOB_TYPE_NEW(S, kind, is_plain, element, fields, count, encode, decode)                    \
    MOB_REFS_OF(S, S, is_plain)                                                                    \
    MOB_CONST struct mob_type mobula_type_##S = {#S,     kind,  (is_plain), sizeof(S), element,    \
                                                 fields, count, encode,     decode};               \
    MOB_CONST struct mob_type mobula_type_mob_ref_to_##S = {                                       \
        NULL, MOB_KIND_REF, 1, sizeof(mob_ref_to_##S), &mobula_type_##S, NULL, 0, NULL, NULL};     \
    MOB_ASSERT(1, "")
#define MOB_STORED(R)                                                                              \
    __typeof__(__builtin_choose_expr(MOB_SAME_TYPE(R, void), (char)0, ((R(*)(void))0)()))
#define MOB_STORE(R, stored, call)                                                                 \
    stored = __builtin_choose_expr(MOB_SAME_TYPE(R, void), ((void)(call), (char)0), (call))
#define MOB_GUARD(statement, rc) statement

union mob_none {
    char none;
};
#define MOB_REFS_OF_TYPE(T, name, kind, plain, text) MOB_REFS_OF(T, name, plain)
#define MOB_REFS_OF_ARRAY(T, ...)                    MOB_REFS_OF(T, T, 0)
MOB_NUMBER_TYPES(MOB_REFS_OF_TYPE)
MOB_VIEW_TYPES(MOB_REFS_OF_TYPE)
MOB_ARRAY_TYPES(MOB_REFS_OF_ARRAY)
MOB_REFS_OF(void, void, 1)
#undef MOB_REFS_OF_TYPE
#undef MOB_REFS_OF_ARRAY

/* Other names of the same types. */
#define mob_ref_to_bool       mob_ref_to_truth
#define mob_ref_to__Bool      mob_ref_to_truth
#define mob_ref_to_short      mob_ref_to_int16_t
#define mob_ref_to_int        mob_ref_to_int32_t
#define mob_ref_to_unsigned   mob_ref_to_uint32_t
#define mob_ref_to_long       mob_ref_to_int64_t
#define mob_ref_to_ssize_t    mob_ref_to_int64_t
#define mob_ref_to_ptrdiff_t  mob_ref_to_int64_t
#define mob_ref_to_size_t     mob_ref_to_uint64_t
#define mobula_type_bool      mobula_type_truth
#define mobula_type__Bool     mobula_type_truth
#define mobula_type_short     mobula_type_int16_t
#define mobula_type_int       mobula_type_int32_t
#define mobula_type_unsigned  mobula_type_uint32_t
#define mobula_type_long      mobula_type_int64_t
#define mobula_type_ssize_t   mobula_type_int64_t
#define mobula_type_ptrdiff_t mobula_type_int64_t
#define mobula_type_size_t    mobula_type_uint64_t

#else /* ---- C++: types are found by templates, and by overloads that users' types add ---- */

#define MOB_ASSERT(truth, text) static_assert(truth, text)
#define MOB_AUTO                auto
#define MOB_EXTERN              extern "C"
#define MOB_CONST               inline const
#define MOB_SAME_TYPE(A, B)     mob_same<A, B>
#define MOB_REF(T)              mob_ref<T>
#define MOB_INFO(T)             mob_info<T>()
#define MOB_IS_PLAIN(T)         mobula_plain_of(mob_tag<T>())
#define MOB_PLAIN_OF(r)         mobula_plain_of(mob_tag<mob_value_type<__typeof__(r)>>())
#define MOB_MOVED(r)            mob_moved_type<__typeof__(r)>
#define MOB_PASSED(r)           mob_passed_type<__typeof__(r)>
#define MOB_OUT(out)            mob_out(out)
#define MOB_KIND_TYPE(T)        mob_kind_of<T>()
#define MOB_KIND_OF(x)          mob_kind_of<__typeof__(x)>()
#define MOB_CHECK_TYPE(T)                                                                          \
    MOB_ASSERT(mob_described<T>,                                                                   \
               "mobula: the type " MOB_TEXT(                                                       \
                   T) " is not known: describe it by MOB_STRUCT, MOB_FIELDS or MOB_CODEC");

template <class T> struct mob_tag {
};
template <class T> struct mob_moved {
    struct mob_reference any;
    using type = T;
};
struct mob_none;
template <class T> struct mob_passed {
    using type = mob_none;
};
template <class T> struct mob_ref {
    struct mob_reference any;
    using type = T;
    using moved = mob_moved<T>;
    using passed = typename mob_passed<T>::type;
};
template <class T> struct mob_passed<mob_ref<T>> {
    using type = mob_moved<T>;
};
template <class R> using mob_value_type = typename R::type;
template <class R> using mob_moved_type = typename R::moved;
template <class R> using mob_passed_type = typename R::passed;

template <class T> using mob_bare = std::remove_cv_t<std::remove_reference_t<T>>;
template <class A, class B> constexpr bool mob_same = std::is_same<mob_bare<A>, mob_bare<B>>::value;
template <class T> constexpr bool mob_is_ref = false;
template <class T> constexpr bool mob_is_ref<mob_ref<T>> = true;

template <class T> constexpr int mob_kind_of()
{
    using U = mob_bare<T>;
    constexpr int width = sizeof(std::conditional_t<std::is_void<U>::value, char, U>);
    constexpr int power = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
    if constexpr (std::is_same<U, bool>::value)
        return MOB_KIND_BOOL;
    else if constexpr (std::is_integral<U>::value && width <= 8)
        return (std::is_signed<U>::value ? MOB_KIND_INT8 : MOB_KIND_UINT8) + power;
    else if constexpr (std::is_enum<U>::value && std::is_convertible<U, long long>::value)
        return mob_kind_of<std::underlying_type_t<U>>();
    else if constexpr (std::is_same<U, float>::value || std::is_same<U, double>::value)
        return std::is_same<U, float>::value ? MOB_KIND_FLOAT : MOB_KIND_DOUBLE;
    else if constexpr (std::is_same<U, char *>::value || std::is_same<U, const char *>::value)
        return MOB_KIND_TEXT;
    else if constexpr (std::is_pointer<U>::value || std::is_null_pointer<U>::value)
        return MOB_CLASS_POINTER;
    else
        return mob_is_ref<U> ? MOB_CLASS_REF : MOB_CLASS_STRUCT;
}

#define MOB_TYPE_OF(T, name, kind, plain, text)                                                    \
    constexpr const struct mob_type *mobula_type_of(mob_tag<T>)                                    \
    {                                                                                              \
        return &mobula_type_##name;                                                                \
    }                                                                                              \
    constexpr bool mobula_plain_of(mob_tag<T>)                                                     \
    {                                                                                              \
        return plain;                                                                              \
    }
#define MOB_TYPE_OF_ARRAY(T, ...) MOB_TYPE_OF(T, T, , 0, )
MOB_NUMBER_TYPES(MOB_TYPE_OF)
MOB_VIEW_TYPES(MOB_TYPE_OF)
MOB_ARRAY_TYPES(MOB_TYPE_OF_ARRAY)
MOB_TYPE_OF(void, void, , 1, )
#undef MOB_TYPE_OF
#undef MOB_TYPE_OF_ARRAY

template <class T, class = void> constexpr bool mob_known = false;
template <class T> constexpr bool mob_known<T, decltype((void)mobula_type_of(mob_tag<T>()))> = true;
template <class T> constexpr bool mob_described = mob_known<T>;
template <class T> constexpr bool mob_described<mob_ref<T>> = mob_described<T>;
template <class T> struct mob_ref_info;
template <class T> constexpr const struct mob_type *mobula_type_of(mob_tag<mob_ref<T>>);
template <class T> constexpr bool mobula_plain_of(mob_tag<mob_ref<T>>)
{
    return true;
}
template <class T> constexpr const struct mob_type *mob_info()
{
    if constexpr (mob_known<T>)
        return mobula_type_of(mob_tag<T>());
    else
        return nullptr;
}
template <class T> struct mob_ref_info {
    static constexpr struct mob_type type = {
        nullptr, MOB_KIND_REF, 1, sizeof(mob_ref<T>), mob_info<T>(), nullptr, 0, nullptr, nullptr};
};
template <class T> constexpr const struct mob_type *mobula_type_of(mob_tag<mob_ref<T>>)
{
    return &mob_ref_info<T>::type;
}

/* NULL stands for no place to store to, where the value is void. */
template <class O, class T>
constexpr bool mob_out_fits = std::is_same<O, T *>::value ||
                              (std::is_void<T>::value &&
                               (std::is_null_pointer<O>::value || std::is_same<O, long>::value));
template <class O> void *mob_out(O out)
{
    if constexpr (std::is_pointer<O>::value)
        return out;
    else
        return nullptr;
}
template <class S, class F> void mob_store(S &stored, F call)
{
    if constexpr (std::is_void<decltype(call())>::value)
        call();
    else
        stored = call();
}

#define MOB_IS_REF(r)        mob_is_ref<mob_bare<decltype(r)>>
#define MOB_IS_PLACE(r, out) mob_out_fits<decltype(out), mob_value_type<mob_bare<decltype(r)>>>
#define MOB_IS_OPTIONS(o)    (std::is_convertible<decltype(o), const struct mob_options *>::value)
#define MOB_TYPE_NEW(S, kind, is_plain, element, fields, count, encode, decode)                    \
    MOB_ASSERT(std::is_standard_layout<S>::value &&std::is_trivially_copyable<S>::value,           \
               "mobula: " #S " has constructors or bases: only plain structs are values");         \
    MOB_CONST struct mob_type mobula_type_##S = {#S,     kind,  (is_plain), sizeof(S), element,    \
                                                 fields, count, encode,     decode};               \
    constexpr const struct mob_type *mobula_type_of(mob_tag<S>)                                    \
    {                                                                                              \
        return &mobula_type_##S;                                                                   \
    }                                                                                              \
    constexpr bool mobula_plain_of(mob_tag<S>)                                                     \
    {                                                                                              \
        return is_plain;                                                                           \
    }                                                                                              \
    MOB_ASSERT(1, "")
#define MOB_STORED(R)              std::conditional_t<std::is_void<R>::value, char, R>
#define MOB_STORE(R, stored, call) mob_store(stored, [&] { return call; })
#if defined __cpp_exceptions
#define MOB_GUARD(statement, rc)                                                                   \
    try {                                                                                          \
        statement;                                                                                 \
    } catch (const std::exception &mob_e) {                                                        \
        mob_fail_at(__FILE__, __LINE__, 1, "exception: %s", mob_e.what());                         \
        rc = MOB_ETASKFAILED;                                                                      \
    } catch (...) {                                                                                \
        mob_fail_at(__FILE__, __LINE__, 1, "an exception that is no std::exception");              \
        rc = MOB_ETASKFAILED;                                                                      \
    }
#else
#define MOB_GUARD(statement, rc) statement
#endif
#endif

/* Fields: rows of the descriptor. */
#define MOB_FIELD_DECLARE(S, i, pair) MOB_PAIR_DECL pair;
#define MOB_FIELD_CHECK(S, i, pair)                                                                \
    MOB_CHECK_TYPE(MOB_PAIR_TYPE pair)                                                             \
    MOB_ASSERT((MOB_SAME_TYPE(__typeof__(((S *)0)->MOB_PAIR_NAME pair), MOB_PAIR_TYPE pair)),      \
               "mobula: field " MOB_TEXT(MOB_PAIR_NAME pair) " of " #S " has another type");
#define MOB_FIELD_ROW(S, i, pair)                                                                  \
    {MOB_TEXT(MOB_PAIR_NAME pair), MOB_INFO(MOB_PAIR_TYPE pair), offsetof(S, MOB_PAIR_NAME pair)},
#define MOB_FIELD_PLAIN(S, i, pair) &&MOB_IS_PLAIN(MOB_PAIR_TYPE pair)
#define MOB_TEXT(...)               MOB_TEXT_(__VA_ARGS__)
#define MOB_TEXT_(...)              #__VA_ARGS__
#define MOB_CODEC_CHECK(S, encode, decode)                                                         \
    MOB_ASSERT((MOB_SAME_TYPE(__typeof__(encode), int(const S *, struct mob_writer *))),           \
               "mobula: the encoder of " #S " is not int (const " #S " *, struct mob_writer *)");  \
    MOB_ASSERT(                                                                                    \
        (MOB_SAME_TYPE(__typeof__(decode), int(S *, const void *, size_t, struct mob_memory *))),  \
        "mobula: the decoder of " #S " is not int (" #S                                            \
        " *, const void *, size_t, struct mob_memory *)");

/* Definitions. */
#define MOB_SIG_MEMBER(c, i, pair)                                                                 \
    struct {                                                                                       \
        MOB_PAIR_TYPE pair v;                                                                      \
        MOB_REF(MOB_PAIR_TYPE pair) r;                                                             \
        char (*kind)[MOB_KIND_TYPE(MOB_PAIR_TYPE pair)];                                           \
    } a##i;
#define MOB_SIG_CHECK(f, i, pair) MOB_CHECK_TYPE(MOB_PAIR_TYPE pair)
#define MOB_SLOT(f, i, pair)      {MOB_INFO(MOB_PAIR_TYPE pair), offsetof(struct mob_sig_##f, a##i.v)},
#define MOB_RESULT_SLOT(f, i, pair)                                                                \
    {MOB_INFO(MOB_PAIR_TYPE pair), offsetof(struct mob_results_##f, MOB_PAIR_NAME pair)},
#define MOB_REFS_MEMBER(f, i, pair) MOB_REF(MOB_PAIR_TYPE pair) MOB_PAIR_NAME pair;
#define MOB_PARAM(c, i, pair)       MOB_PAIR_DECL pair
#define MOB_PARAM_MORE(c, i, pair)  , MOB_PAIR_DECL pair
#define MOB_PASS(c, i, pair)        mob_a.a##i.v
#define MOB_PASS_MORE(c, i, pair)   , mob_a.a##i.v

/* What an argument too many is checked against, so that the compiler speaks of the count alone. */
struct mob_surplus {
    int32_t v;
    MOB_REF(int32_t) r;
    char (*kind)[MOB_KIND_TYPE(int32_t)];
};
/* clang-format off */
#define MOB_PAD_15
#define MOB_PAD_14 struct mob_surplus a15;
#define MOB_PAD_13 struct mob_surplus a14; MOB_PAD_14
#define MOB_PAD_12 struct mob_surplus a13; MOB_PAD_13
#define MOB_PAD_11 struct mob_surplus a12; MOB_PAD_12
#define MOB_PAD_10 struct mob_surplus a11; MOB_PAD_11
#define MOB_PAD_9 struct mob_surplus a10; MOB_PAD_10
#define MOB_PAD_8 struct mob_surplus a9; MOB_PAD_9
#define MOB_PAD_7 struct mob_surplus a8; MOB_PAD_8
#define MOB_PAD_6 struct mob_surplus a7; MOB_PAD_7
#define MOB_PAD_5 struct mob_surplus a6; MOB_PAD_6
#define MOB_PAD_4 struct mob_surplus a5; MOB_PAD_5
#define MOB_PAD_3 struct mob_surplus a4; MOB_PAD_4
#define MOB_PAD_2 struct mob_surplus a3; MOB_PAD_3
#define MOB_PAD_1 struct mob_surplus a2; MOB_PAD_2
#define MOB_PAD_0 struct mob_surplus a1; MOB_PAD_1
/* clang-format on */
/* The types that calls are checked against. */
#define MOB_SIGNATURE(f, ...)                                                                      \
    struct mob_sig_##f {                                                                           \
        char none;                                                                                 \
        MOB_EACH(MOB_SIG_MEMBER, __VA_ARGS__)                                                      \
        MOB_CAT(MOB_PAD_, MOB_COUNT(__VA_ARGS__))                                                  \
    };                                                                                             \
    MOB_EACH(MOB_SIG_CHECK, __VA_ARGS__)                                                           \
    enum { mobula_task_##f = MOB_COUNT(__VA_ARGS__) };
/* The record, the function that decodes, calls and encodes, and the constructor that links the
 * record. */
#define MOB_RECORD(linkage, f, stored, guarded, result_slots, ...)                                 \
    static const struct mob_slot mob_slots_##f[] = {MOB_EACH(MOB_SLOT, __VA_ARGS__) result_slots}; \
    static int mob_run_##f(struct mob_task *mob_t)                                                 \
    {                                                                                              \
        enum { mob_results = sizeof(mob_slots_##f) / sizeof(mob_slots_##f[0]) - mobula_task_##f }; \
        struct mob_sig_##f mob_a;                                                                  \
        struct mob_memory mob_m = {NULL, {0, 0}};                                                  \
        stored;                                                                                    \
        int mob_rc = mob_task_open(mob_t, mob_slots_##f, mobula_task_##f, &mob_a, &mob_m);         \
        if (mob_rc == MOB_OK) {                                                                    \
            MOB_GUARD(guarded, mob_rc);                                                            \
        }                                                                                          \
        return mob_task_close(mob_t, mob_slots_##f + mobula_task_##f, mob_results, &mob_r, &mob_m, \
                              mob_rc);                                                             \
    }                                                                                              \
    linkage struct mob_function mob_function_##f = {                                               \
        #f,                                                                                        \
        MOB_TEXT((__VA_ARGS__)),                                                                   \
        __FILE__,                                                                                  \
        __LINE__,                                                                                  \
        mobula_task_##f,                                                                           \
        sizeof(mob_slots_##f) / sizeof(mob_slots_##f[0]) - mobula_task_##f,                        \
        0,                                                                                         \
        mob_run_##f,                                                                               \
        NULL,                                                                                      \
        mob_slots_##f,                                                                             \
        NULL,                                                                                      \
        0,                                                                                         \
        NULL,                                                                                      \
        NULL};                                                                                     \
    __attribute__((constructor)) static void mob_link_##f(void)                                    \
    {                                                                                              \
        mob_function_link(&mob_function_##f);                                                      \
    }

#define MOB_TASK_(R, f, ...)                                                                       \
    MOB_SIGNATURE(f, __VA_ARGS__)                                                                  \
    MOB_CHECK_TYPE(R)                                                                              \
    typedef MOB_REF(R) mob_result_##f;                                                             \
    static R f(MOB_EACH_LIST(MOB_PARAM, void, __VA_ARGS__));                                       \
    MOB_RECORD_ONE(static, R, f, __VA_ARGS__)                                                      \
    static R f(MOB_EACH_LIST(MOB_PARAM, void, __VA_ARGS__))
#define MOB_TASK_DECLARE_(R, f, ...)                                                               \
    MOB_SIGNATURE(f, __VA_ARGS__)                                                                  \
    MOB_CHECK_TYPE(R)                                                                              \
    typedef MOB_REF(R) mob_result_##f;                                                             \
    MOB_EXTERN struct mob_function mob_function_##f;                                               \
    MOB_EXTERN R f(MOB_EACH_LIST(MOB_PARAM, void, __VA_ARGS__))
#define MOB_TASK_DEFINE_(R, f, ...)                                                                \
    MOB_RECORD_ONE(, R, f, __VA_ARGS__)                                                            \
    MOB_EXTERN R f(MOB_EACH_LIST(MOB_PARAM, void, __VA_ARGS__))
#define MOB_RECORD_ONE(linkage, R, f, ...)                                                         \
    MOB_RECORD(linkage, f, MOB_STORED(R) mob_r,                                                    \
               MOB_STORE(R, mob_r, f(MOB_EACH_LIST(MOB_PASS, , __VA_ARGS__))), MOB_RESULT_ONE(R),  \
               __VA_ARGS__)
#define MOB_RESULT_ONE(R)                                                                          \
    {                                                                                              \
        MOB_INFO(R), 0                                                                             \
    }
#define MOB_TASK_RESULTS_(f, pairs, ...)                                                           \
    MOB_SIGNATURE(f, __VA_ARGS__)                                                                  \
    MOB_EACH(MOB_SIG_CHECK, f, MOB_UNWRAP pairs)                                                   \
    struct mob_results_##f {                                                                       \
        MOB_EACH(MOB_FIELD_DECLARE, f, MOB_UNWRAP pairs)                                           \
    };                                                                                             \
    typedef struct mob_refs_##f {                                                                  \
        MOB_EACH(MOB_REFS_MEMBER, f, MOB_UNWRAP pairs)                                             \
    } mob_result_##f;                                                                              \
    static void f(struct mob_results_##f *results MOB_EACH(MOB_PARAM_MORE, __VA_ARGS__));          \
    MOB_RECORD(static, f, struct mob_results_##f mob_r;                                            \
               __builtin_memset(&mob_r, 0, sizeof mob_r),                                          \
               f(&mob_r MOB_EACH(MOB_PASS_MORE, __VA_ARGS__)),                                     \
               MOB_EACH(MOB_RESULT_SLOT, f, MOB_UNWRAP pairs), __VA_ARGS__)                        \
    static void f(struct mob_results_##f *results MOB_EACH(MOB_PARAM_MORE, __VA_ARGS__))
#define MOB_TASK_OPTIONS(f, ...)                                                                   \
    __attribute__((constructor)) static void mob_options_##f(void)                                 \
    {                                                                                              \
        static const struct mob_options mob_o = {.size = sizeof(struct mob_options), __VA_ARGS__}; \
        mob_function_##f.options = &mob_o;                                                         \
    }                                                                                              \
    MOB_ASSERT(1, "")

/* Calls: bind each argument, say how it fits the parameter, refuse what does not. */
/* clang-format off */
#define MOB_HOW(k, p, is_same)                                                                     \
    (k) <= MOB_KIND_DOUBLE ? MOB_HOW_NUMBER(k, p)                                                  \
    : (is_same) ? MOB_IN_VALUE                                                                     \
    : (k) == MOB_CLASS_REF ? MOB_WRONG_REF                                                         \
    : (k) != MOB_KIND_TEXT && (k) != MOB_CLASS_POINTER ? MOB_WRONG_TYPE                            \
    : (p) <= MOB_KIND_DOUBLE ? MOB_WRONG_POINTER_FOR_NUMBER                                        \
    : (k) == MOB_KIND_TEXT && (p) == MOB_KIND_TEXT ? MOB_KIND_TEXT                                 \
    : MOB_WRONG_POINTER
#define MOB_HOW_NUMBER(k, p)                                                                       \
    (p) > MOB_KIND_DOUBLE ? MOB_WRONG_NUMBER                                                       \
    : (k) >= MOB_KIND_FLOAT && (p) <= MOB_KIND_UINT64 ? MOB_WRONG_FLOAT                            \
    : (k)
/* clang-format on */
#define MOB_PARAMETER(f, i) (((struct mob_sig_##f *)0)->a##i)
#define MOB_BIND(f, i, x)                                                                          \
    MOB_AUTO mob_x##i = (x);                                                                       \
    enum {                                                                                         \
        mob_k##i = MOB_KIND_OF(mob_x##i),                                                          \
        mob_p##i = sizeof(*MOB_PARAMETER(f, i).kind),                                              \
        mob_how##i = MOB_IS(i, __typeof__(MOB_PARAMETER(f, i).r))  ? MOB_IN_REF                    \
                     : MOB_IS(i, MOB_MOVED(MOB_PARAMETER(f, i).r)) ? MOB_IN_MOVED                  \
                     : MOB_IS(i, MOB_PASSED(MOB_PARAMETER(f, i).r))                                \
                         ? MOB_IN_PASSED                                                           \
                         : (MOB_HOW((int)mob_k##i, (int)mob_p##i,                                  \
                                    MOB_SAME(mob_x##i, MOB_PARAMETER(f, i).v)))                    \
    };                                                                                             \
    MOB_REFUSE(f, i, FLOAT, "a floating value for an integer");                                    \
    MOB_REFUSE(f, i, POINTER_FOR_NUMBER, "a pointer for a number");                                \
    MOB_REFUSE(f, i, NUMBER, "a number where the parameter takes none");                           \
    MOB_REFUSE(f, i, POINTER, "another pointer type");                                             \
    MOB_REFUSE(f, i, REF, "a reference to another type");                                          \
    MOB_REFUSE(f, i, TYPE, "another type");                                                        \
    mob_in[i - 1].data = &mob_x##i;                                                                \
    mob_in[i - 1].how = mob_how##i;
#define MOB_IS(i, T) MOB_SAME_TYPE(__typeof__(mob_x##i), T)
#define MOB_REFUSE(f, i, wrong, text)                                                              \
    MOB_ASSERT((int)mob_how##i != MOB_WRONG_##wrong, "mobula: argument " #i " of " #f ": " text)
#define MOB_CALL(options, f, ...)                                                                  \
    __extension__({                                                                                \
        MOB_ASSERT(MOB_COUNT(__VA_ARGS__) == mobula_task_##f,                                      \
                   "mobula: wrong number of arguments for " #f);                                   \
        struct mob_in mob_in[MOB_COUNT(__VA_ARGS__) + 1];                                          \
        MOB_EACH(MOB_BIND, __VA_ARGS__)                                                            \
        mob_result_##f mob_result;                                                                 \
        mob_call_typed(&mob_function_##f, (options), mob_in, __FILE__, __LINE__,                   \
                       (struct mob_reference *)&mob_result);                                       \
        mob_result;                                                                                \
    })
#define MOB_PUT(T, x)                                                                              \
    __extension__({                                                                                \
        MOB_CHECK_TYPE(T)                                                                          \
        struct mob_sig_mob_put {                                                                   \
            MOB_SIG_MEMBER(value, 1, (T, value))                                                   \
        };                                                                                         \
        struct mob_in mob_in[1];                                                                   \
        MOB_BIND(mob_put, 1, x)                                                                    \
        MOB_ASSERT((int)mob_how1 != MOB_IN_REF && (int)mob_how1 != MOB_IN_MOVED,                   \
                   "mobula: mob_put: a reference where a value is wanted");                        \
        MOB_REF(T) mob_result;                                                                     \
        mob_put_typed(MOB_INFO(T), mob_in, &mob_result.any);                                       \
        mob_result;                                                                                \
    })

#endif
