/* Output goes to memfds rather than pipes: nobody has to read while the program runs, and a full
 * pipe cannot stop it. Each program gets a mark in its environment, by which its daemons are found
 * after their parents have ended. */
#include "tests/support/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/processes.h"
#include "tests/support/wait.h"

#define PROGRAM_PROCESSES_MAX 1024

struct capture {
    int fd;
    char *text;
};

struct program {
    pid_t pid;
    bool reaped;
    int status;
    char mark[64];
    struct capture out, err;
};

static void must(bool done, const char *what)
{
    if (!done) {
        perror(what);
        abort();
    }
}

static void run_child(struct program *program, const char *const argv[], const char *const env[])
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(program->out.fd, STDOUT_FILENO) < 0 || dup2(program->err.fd, STDERR_FILENO) < 0)
        _exit(126);
    putenv(program->mark);
    for (; env != NULL && *env != NULL; env++)
        putenv((char *)(uintptr_t)*env);
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGINT, &usual,
              NULL); /* a shell's background job ignores both, and so would the program */
    sigaction(SIGQUIT, &usual, NULL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

struct program *program_start(const char *const argv[], const char *const env[])
{
    static unsigned started;
    struct program *program = calloc(1, sizeof *program);
    must(program != NULL, "calloc");
    snprintf(program->mark, sizeof program->mark, "MOBULA_TEST_PROGRAM=%d.%u", (int)getpid(),
             started++);
    program->out.fd = memfd_create("stdout", MFD_CLOEXEC);
    program->err.fd = memfd_create("stderr", MFD_CLOEXEC);
    must(program->out.fd >= 0 && program->err.fd >= 0, "memfd_create");
    fflush(NULL);
    program->pid = fork();
    must(program->pid >= 0, "fork");
    if (program->pid == 0)
        run_child(program, argv, env);
    return program;
}

bool program_ended(struct program *program)
{
    int status;
    if (!program->reaped && waitpid(program->pid, &status, WNOHANG) == program->pid) {
        program->reaped = true;
        program->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return program->reaped;
}

/* Processes may be born while the list is taken, so until none is found. */
static void kill_all(struct program *program)
{
    pid_t pids[PROGRAM_PROCESSES_MAX];
    unsigned count;
    struct wait wait = wait_start(5000);
    do {
        if (!program_ended(program))
            kill(program->pid, SIGKILL);
        count = processes_marked(program->mark, pids, PROGRAM_PROCESSES_MAX);
        for (unsigned i = 0; i < count && i < PROGRAM_PROCESSES_MAX; i++)
            kill(pids[i], SIGKILL);
    } while ((count > 0 || !program_ended(program)) && wait_again(&wait));
}

int program_wait(struct program *program, int timeout_ms)
{
    if (wait_until(program_ended(program), timeout_ms))
        return program->status;
    kill_all(program);
    return -1;
}

pid_t program_pid(const struct program *program)
{
    return program->pid;
}

void program_signal(struct program *program, int signal)
{
    if (!program_ended(program))
        kill(program->pid, signal);
}

unsigned program_others(const struct program *program)
{
    unsigned count = processes_marked(program->mark, NULL, 0);
    return count - (count > 0 && !program->reaped && processes_alive(program->pid) ? 1 : 0);
}

static const char *capture_text(struct capture *capture)
{
    struct stat info;
    must(fstat(capture->fd, &info) == 0, "fstat");
    free(capture->text);
    capture->text = calloc(1, (size_t)info.st_size + 1);
    must(capture->text != NULL, "calloc");
    must(pread(capture->fd, capture->text, (size_t)info.st_size, 0) >= 0, "pread");
    return capture->text;
}

const char *program_stdout(struct program *program)
{
    return capture_text(&program->out);
}

const char *program_stderr(struct program *program)
{
    return capture_text(&program->err);
}

void program_destroy(struct program *program)
{
    if (program == NULL)
        return;
    kill_all(program);
    close(program->out.fd);
    close(program->err.fd);
    free(program->out.text);
    free(program->err.text);
    free(program);
}
