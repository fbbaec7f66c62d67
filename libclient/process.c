/* process.c: one process, one role. A fork is noticed by a page that the kernel wipes in the child,
 * so that checking costs a load and needs no handler. */
#include "libclient/process.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

struct process process;

static uint32_t
    *alive; /* 1 in the process that called mob_init; the page is zero in its forked children */
static _Thread_local struct mob_error last_error;

struct mob_error *mob_last_error_slot(void)
{
    return &last_error;
}

void process_begin(enum process_role role)
{
    if (alive == NULL) {
        void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static uint32_t always = 1; /* no page: forks go unnoticed, all else works */
        bool wiped = page != MAP_FAILED &&
                     madvise(page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) == 0;
        alive = wiped ? page : &always;
    }
    *alive = 1;
    process.role = role;
}

bool process_forked(void)
{
    return alive != NULL && *alive == 0;
}

struct shell *process_enter(struct mob_error *err)
{
    enum process_role role = process.role;
    if (__builtin_expect((role == PROCESS_DRIVER || role == PROCESS_WORKER) && *alive == 1, 1))
        return &process.shell;
    if (role == PROCESS_CLOSED)
        error_set(err, MOB_ESHUTDOWN,
                  "mob_shutdown was called: nothing more can be done in this process");
    else if (role == PROCESS_NONE)
        error_set(err, MOB_ENOTINIT, "the library is not initialised: call mob_init first");
    else
        error_set(err, MOB_EFORKED,
                  "this is a forked child: use Mobula in the process that called mob_init");
    return NULL;
}

int error_set(struct mob_error *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = err->root_code = code;
        err->user_code = 0;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int error_from(struct mob_error *err, const struct mob_err *from)
{
    return error_set(err, from->code, "%s", from->text);
}

static size_t text_add(char *text, size_t size, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static size_t text_add(char *text, size_t size, size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + at, size - at, format, args);
    va_end(args);
    at += n < 0 ? 0 : (size_t)n;
    return at < size ? at : size - 1;
}

static size_t frame_add(char *text, size_t size, size_t at, const struct msg_error_frame *f)
{
    if (f->function.size != 0)
        at = text_add(text, size, at, "%.*s: ", (int)f->function.size,
                      (const char *)f->function.data);
    at = text_add(text, size, at, "%.*s", (int)f->text.size, (const char *)f->text.data);
    at = text_add(text, size, at, " [%s", mob_error_name((int)f->code));
    if (f->user_code != 0)
        at = text_add(text, size, at, " %" PRId64, f->user_code);
    if (f->place.size != 0)
        at = text_add(text, size, at, " at %.*s", (int)f->place.size, (const char *)f->place.data);
    if (f->process != 0)
        at = text_add(text, size, at, ", process %" PRIu64, f->process);
    return text_add(text, size, at, "]");
}

/* The last frame is where it began, and keeps its room: of those before it, which are links of a
 * chain of tasks, as many are shown as fit. */
int error_from_frames(struct mob_error *err, const struct msg_list *frames)
{
    struct cursor c = cursor_of(frames->data, frames->size);
    struct msg_error_frame f, last = {.code = MOB_EPROTO};
    struct mob_error made = {.code = MOB_EPROTO};
    uint32_t count = 0;
    while (count < frames->count && msg_error_frame_unpack_item(&c, &last))
        if (count++ == 0)
            made.code = (int)last.code;
    made.root_code = (int)last.code;
    made.user_code = (int)last.user_code;
    char root[sizeof made.text - 200];
    size_t root_size = frame_add(root, sizeof root, 0, &last), at = 0;
    size_t room = sizeof made.text - root_size - sizeof "  ...\n  because ";
    c = cursor_of(frames->data, frames->size);
    for (uint32_t i = 0; i + 1 < count && msg_error_frame_unpack_item(&c, &f); i++) {
        size_t end = frame_add(made.text, room, at, &f);
        if (i > 0 && end + 1 >= room) {
            at = text_add(made.text, sizeof made.text, at, "...\n  because ");
            break;
        }
        at = text_add(made.text, sizeof made.text, end, "\n  because ");
    }
    text_add(made.text, sizeof made.text, at, "%s", root);
    if (err != NULL)
        *err = made;
    return made.code;
}

void mob_print_error(FILE *stream)
{
    fprintf(stream, "mobula: %s\n", last_error.text);
    const char *advice = mob_error_advice(last_error.root_code);
    if (last_error.code != MOB_OK && advice[0] != '\0')
        fprintf(stream, "  %s\n", advice);
}

struct client_config process_client_config(const struct msg_client_welcome *w, bool worker)
{
    return (struct client_config){
        .worker = worker,
        .self = {w->process},
        .inline_max = w->inline_max,
        .arena_bytes = w->arena_bytes,
        .cpus = w->cpus,
        .retries = w->retries,
        .lease_idle_ns = 200000000,
        .window_ns = 500000,
    };
}
