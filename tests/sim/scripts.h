/* scripts.h: the user's code: threads of drivers and the bodies of tasks, as state machines over
 * the calls of the client core. A step runs until the thread waits or has nothing to do; waits.c
 * suspends and resumes it. Owns the threads of a process. */
#ifndef MOB_SIM_SCRIPTS_H
#define MOB_SIM_SCRIPTS_H
#include "tests/sim/recipes.h"

enum thread_state {
    /* of a driver */
    DRIVER_NEXT,   /* the next operation */
    DRIVER_LOOK,   /* a wait is over: look at what was waited for */
    DRIVER_STORE,  /* room was asked for, to put something */
    DRIVER_FINISH, /* wait for all that is left, and drop it */
    DRIVER_FINISHED,
    /* of a task */
    TASK_IDLE,
    TASK_BODY, /* the first part of its time is over */
    TASK_READ, /* what it waited for is there */
    TASK_GIVE, /* give results; may wait for room */
};

struct thread {
    struct process *process;
    enum thread_state state;

    /* waiting */
    struct waiter waiter;
    struct watch watches[WAITS_MAX];
    struct mob_object waited[WAITS_MAX];
    uint32_t waited_count;
    bool waiting, blocked, timed_out, room_asked;
    uint64_t room_size;
    uint64_t wait_number; /* tells an old wake-up from the one that counts */

    /* a driver's */
    uint32_t operations_left;
    struct mob_object *refs; /* one entry per handle */
    uint32_t ref_count, ref_capacity;
    uint32_t drop_after; /* handles at the end of refs that go when the look is over */
    struct outcome putting;

    /* a task's */
    struct run *run;
    struct spec *spec;
    struct plan plan;
    struct family family;
    uint64_t base, started_ns;
    struct mob_object reads[WAITS_MAX]; /* references among the arguments that it reads */
    uint32_t read_count, given;
    struct outcome foreseen[WAITS_MAX];
    struct buffer results;
    bool work_coming;
};

struct thread *thread_create(struct sim *s, struct process *p);
void threads_destroy(struct process *p);
void thread_after(struct sim *s, struct thread *t, uint64_t delay_ns); /* its next step */
void thread_step(struct sim *s, struct thread *t);

/* ---- waits.c ---- */
/* Wait until `needed` of the objects have settled or the time is over, then step. UINT64_MAX: for
 * ever. */
void thread_wait(struct sim *s, struct thread *t, const struct mob_object *ids, uint32_t count,
                 uint32_t needed, uint64_t timeout_ns);
/* Wait for room in the store for `size` bytes, then step. */
void thread_wait_room(struct sim *s, struct thread *t, uint64_t size);
/* Whether the room that was waited for was refused; asked once after the wait. */
bool thread_room_refused(struct sim *s, struct thread *t);
/* A waiter of the core became done. */
void thread_woken(struct sim *s, struct thread *t);

/* ---- scripts.c ---- */
void driver_step(struct sim *s, struct thread *t);
/* Submit with what the oracle must know. Fills the ids of the results' first; all have a handle. */
struct mob_object script_submit(struct sim *s, struct process *p, const struct recipe *r,
                                const struct script_arg *args, uint32_t count, uint32_t *results);
/* Put a value that fits inline, or that stands at `offset` when it does not. */
struct mob_object script_put(struct sim *s, struct process *p, const struct outcome *o,
                             uint64_t offset);
/* Write a value into the store; false: there is no room. */
bool script_place(struct sim *s, struct process *p, const struct outcome *o,
                  struct mob_object inside, uint64_t *offset);

/* ---- tasks.c ---- */
void task_step(struct sim *s, struct thread *t);
/* The worker looks for work. */
void worker_work(struct sim *s, struct process *p);
#endif
