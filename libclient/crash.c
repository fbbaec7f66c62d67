/* crash.c: naming the function that crashed, from inside the crash.
 *
 * Everything here is done with memory reads, open, fstat and mmap: no lock is taken and nothing is
 * allocated. Frames are walked by the unwinder that exceptions use, called once beforehand so that
 * the loader has bound it. Which file a frame belongs to comes from _dl_find_object, made for
 * unwinders in signal handlers; the name from that file's .symtab, which lists static functions
 * too, mapped only now and scanned once: sorting it before would cost every start what one crash
 * costs now. libdw was rejected because it allocates; dladdr because it does not know static
 * functions.
 *
 * A handler that crashes itself comes back with the next stage, so that a smashed stack costs the
 * name and nothing else. */
#include "libclient/crash.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

enum { STACK_BYTES = 128 << 10, FRAMES_MAX = 256 };

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

enum stage { CALM, NOTED, NAMED, DUMPED };

static struct {
    struct report *report;
    void (*dump)(void);
    _Atomic int thread; /* that crashed first */
    volatile sig_atomic_t stage;
    volatile sig_atomic_t signal;
} crash;

/* ---- names ---- */

/* Libraries that user functions call, and that are not at fault more often than their callers. */
static bool is_system(const char *file)
{
    static const char *const names[] = {"libc.so",    "libc-",      "ld-linux",  "libm.so",
                                        "libpthread", "libstdc++",  "libgcc_s",  "libmobula.",
                                        "libasan",    "libubsan",   "libtsan",   "libzmq",
                                        "libmsgpack", "linux-vdso", "linux-gate"};
    const char *base = strrchr(file, '/');
    base = base != NULL ? base + 1 : file;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(base, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

struct symbol_table {
    const ElfW(Sym) * symbols;
    size_t count;
    const char *strings;
    size_t strings_bytes;
};

static bool table_within(uint64_t offset, uint64_t size, size_t file_bytes)
{
    return offset <= file_bytes && size <= file_bytes - offset;
}

/* The file may be anything by now: every offset is checked. */
static bool table_find(const unsigned char *file, size_t bytes, uint32_t type,
                       struct symbol_table *out)
{
    const ElfW(Ehdr) *head = (const void *)file;
    if (bytes < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_shentsize != sizeof(ElfW(Shdr)) ||
        !table_within(head->e_shoff, (uint64_t)head->e_shnum * sizeof(ElfW(Shdr)), bytes))
        return false;
    const ElfW(Shdr) *sections = (const void *)(file + head->e_shoff);
    for (unsigned i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *s = &sections[i];
        if (s->sh_type != type || s->sh_link >= head->e_shnum || s->sh_offset % 8 != 0)
            continue;
        const ElfW(Shdr) *strings = &sections[s->sh_link];
        if (!table_within(s->sh_offset, s->sh_size, bytes) || strings->sh_size == 0 ||
            !table_within(strings->sh_offset, strings->sh_size, bytes) ||
            file[strings->sh_offset + strings->sh_size - 1] != '\0')
            continue;
        *out = (struct symbol_table){(const void *)(file + s->sh_offset),
                                     s->sh_size / sizeof(ElfW(Sym)),
                                     (const char *)file + strings->sh_offset, strings->sh_size};
        return true;
    }
    return false;
}

static const char *table_name(const struct symbol_table *t, uint64_t address)
{
    for (size_t i = 0; i < t->count; i++) {
        const ElfW(Sym) *s = &t->symbols[i];
        if ((s->st_info & 0xf) == STT_FUNC && s->st_shndx != SHN_UNDEF && address >= s->st_value &&
            address - s->st_value < s->st_size && s->st_name < t->strings_bytes)
            return t->strings + s->st_name;
    }
    return NULL;
}

/* "prog+0x1234": what a stripped file leaves. */
static void name_offset(const char *file, uint64_t address)
{
    static char text[REPORT_FUNCTION_MAX];
    const char *base = strrchr(file, '/');
    base = base != NULL ? base + 1 : file;
    size_t used = 0;
    for (; used < sizeof text - 24 && base[used] != '\0'; used++)
        text[used] = base[used];
    text[used++] = '+';
    text[used++] = '0';
    text[used++] = 'x';
    int shift = 60;
    while (shift > 0 && (address >> shift) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        text[used++] = "0123456789abcdef"[(address >> shift) & 15];
    report_function(crash.report, text);
}

/* Without what compilers append to the copies that they make: ".isra.0", ".part.1", ".constprop.0",
 * ".cold"; and a task whose body was inlined into what MOB_TASK makes around it under the name that
 * its user knows. */
static void name_symbol(const char *name)
{
    static char text[REPORT_FUNCTION_MAX];
    static const char made[] = "mob_run_";
    size_t used = 0;
    if (strncmp(name, made, sizeof made - 1) == 0)
        name += sizeof made - 1;
    while (used < sizeof text - 1 && name[used] != '\0' && (name[used] != '.' || used == 0)) {
        text[used] = name[used];
        used++;
    }
    report_function(crash.report, text);
}

static void name_from(const char *file, const char *shown, uint64_t address)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    const char *name = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        size_t bytes = (size_t)st.st_size;
        void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        struct symbol_table table;
        if (map != MAP_FAILED && table_find(map, bytes, SHT_SYMTAB, &table))
            name = table_name(&table, address);
        if (map != MAP_FAILED && name == NULL && table_find(map, bytes, SHT_DYNSYM, &table))
            name = table_name(&table, address);
    }
    /* Descriptor and mapping go with the process. */
    if (name != NULL)
        name_symbol(name);
    else
        name_offset(shown, address);
}

/* Whether `pc` lies in user code; then its function has been noted. */
static bool name_pc(uintptr_t pc)
{
    struct dl_find_object found;
    if (pc == 0 || _dl_find_object((void *)pc, &found) != 0)
        return false;
    const char *file = found.dlfo_link_map->l_name;
    uint64_t address = pc - found.dlfo_link_map->l_addr;
    if (file[0] == '\0') {
        char self[REPORT_FUNCTION_MAX];
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        self[length > 0 ? length : 0] = '\0';
        name_from("/proc/self/exe", self, address);
        return true;
    }
    if (is_system(file))
        return false;
    name_from(file, file, address);
    return true;
}

struct walk {
    bool past_signal;
    unsigned frames;
};

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *data)
{
    struct walk *walk = data;
    int before = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &before);
    if (++walk->frames > FRAMES_MAX)
        return _URC_END_OF_STACK;
    /* The frames above the signal are this handler's. The frame that the signal hit is the first
     * whose address is exact; all others hold return addresses, one past their call. */
    if (before)
        walk->past_signal = true;
    if (!walk->past_signal)
        return _URC_NO_REASON;
    return name_pc(before ? pc : pc - 1) ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* A call through a wild pointer leaves an address without unwind data; the caller's is then on top
 * of the stack, or in the link register. */
static bool name_caller(const ucontext_t *at)
{
#if defined(__x86_64__)
    uintptr_t pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
    struct dl_find_object found;
    if (_dl_find_object((void *)pc, &found) == 0)
        return false;
    uintptr_t caller;
    memcpy(&caller, (void *)(uintptr_t)at->uc_mcontext.gregs[REG_RSP], sizeof caller);
    return name_pc(caller - 1);
#elif defined(__aarch64__)
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)at->uc_mcontext.pc, &found) == 0)
        return false;
    return name_pc(at->uc_mcontext.regs[30] - 1);
#else
    (void)at;
    return false;
#endif
}

/* ---- the handler ---- */

static void die(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, crash.signal);
    sigaction(crash.signal, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    syscall(SYS_tgkill, getpid(), gettid(), (int)crash.signal);
    _exit(128 + crash.signal);
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    int none = 0, self = gettid();
    if (!atomic_compare_exchange_strong(&crash.thread, &none, self) && none != self)
        for (;;)
            pause(); /* Another thread crashed first and will end the process. */
    if (crash.stage == CALM) {
        crash.stage = NOTED;
        crash.signal = signal;
        bool fault = info->si_code > 0 && signal != SIGABRT;
        report_crash(crash.report, (uint32_t)signal, fault ? (uintptr_t)info->si_addr : 0);
        struct walk walk = {0};
        if (!name_caller(context))
            _Unwind_Backtrace(on_frame, &walk);
    }
    if (crash.stage == NOTED) {
        crash.stage = NAMED;
        if (crash.dump != NULL)
            crash.dump();
    }
    crash.stage = DUMPED;
    die();
}

static _Unwind_Reason_Code on_first_frame(struct _Unwind_Context *context, void *data)
{
    *(uintptr_t *)data = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

void crash_prepare(void)
{
    uintptr_t pc = 0;
    _Unwind_Backtrace(on_first_frame, &pc);
    struct dl_find_object found;
    if (_dl_find_object((void *)pc, &found) != 0)
        return;
}

void crash_install(struct report *report, void (*dump)(void))
{
    crash.report = report;
    crash.dump = dump;
    stack_t stack = {.ss_size = STACK_BYTES}, old;
    if (sigaltstack(NULL, &old) != 0 || (old.ss_flags & SS_DISABLE) != 0) {
        stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) != 0)
            munmap(stack.ss_sp, STACK_BYTES);
    }
    for (size_t i = 0; i < sizeof crash_signals / sizeof crash_signals[0]; i++) {
        struct sigaction theirs;
        if (sigaction(crash_signals[i], NULL, &theirs) != 0 || theirs.sa_handler != SIG_DFL)
            continue;
        struct sigaction action = {.sa_sigaction = on_crash,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
        sigemptyset(&action.sa_mask);
        sigaction(crash_signals[i], &action, NULL);
    }
}
