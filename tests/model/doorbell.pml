/* doorbell.pml: can a wake-up be lost?
 *
 * One owner reads from two writers, through a ring each, and sleeps when both are empty; a writer sleeps when its ring
 * is full. All sleep and wake by doorbells as in protocol/doorbell.c and protocol/ring.c, whose steps are named here.
 *
 * Memory is that of x86: the stores of a process go through a buffer of its own, in order, and reach memory at any
 * later time; loads look at memory at once; a fence, an exchange and a system call wait until the buffer is empty. (No
 * process loads a word that it has stored itself but by an exchange or after a fence, so that loads need not look into
 * the buffer.)
 * The kernel compares the futex word and blocks in one step, and a wake moves only one who is already blocked. An
 * eventfd keeps its count until it is read.
 *
 * What must hold: every run ends with all that was written read. A lost wake-up is a state in which nobody can go on,
 * which spin reports as an invalid end state.
 *
 * The kinds: a futex word; -DSPIN, one whose owner looks for a while before it sleeps; -DEVENTFD. -DTIMEOUTS=n lets n
 * sleeps end at their deadline, so that a wake meets a process which has just given up.
 * check: => holds
 * check: -DSPIN => holds
 * check: -DEVENTFD => holds
 * check: -DTIMEOUTS=1 => holds
 * check: -DEVENTFD -DTIMEOUTS=1 => holds
 *
 * What must be found: the owner's stores are still in its buffer when it looks (1), the writer's are when it looks at
 * the word (2), the owner does not look again (3), the wake comes before the sleep and leaves no trace (4), likewise
 * for space (5, 6), a writer that finds its ring full and does not see that its flag was taken back, for space that it
 * has used since (7), a spinner that becomes a sleeper without a look (8), an eventfd emptied after the last look
 * (9), a sleep that peers take for the one that they have rung for (10).
 * check: -DBUG_PREPARE_NO_FENCE | -O0 -DSAFETY | => fails
 * check: -DBUG_RING_NO_FENCE | -O0 -DSAFETY | => fails
 * check: -DBUG_NO_RECHECK | -O0 -DSAFETY | => fails
 * check: -DBUG_WAKE_KEEPS_WORD | -O0 -DSAFETY | => fails
 * check: -DBUG_SPACE_NO_FENCE | -O0 -DSAFETY | => fails
 * check: -DBUG_SPACE_NO_RECHECK | -O0 -DSAFETY | => fails
 * check: -DBUG_SPACE_NO_FLAG_LOOK | -O0 -DSAFETY | => fails
 * check: -DSPIN -DBUG_SPIN_STORES | -O0 -DSAFETY | => fails
 * check: -DEVENTFD -DBUG_LATE_DRAIN | -O0 -DSAFETY | => fails
 * check: -DEVENTFD -DBUG_SAME_SLEEP | -O0 -DSAFETY | => fails
 * The same omissions of barriers, of the eventfd kind:
 * check: -DEVENTFD -DBUG_PREPARE_NO_FENCE | -O0 -DSAFETY | => fails
 * check: -DEVENTFD -DBUG_RING_NO_FENCE | -O0 -DSAFETY | => fails */

#define OWNER 0
#define RING 2 /* entries that a ring holds */
/* Entries that a writer writes in all. The sleeps of an eventfd are numbered, which makes many more states. */
#ifdef EVENTFD
#define WRITTEN(w) (w == 1 -> 3 : 1)
#else
#define WRITTEN(w) (w == 1 -> 4 : 1)
#endif

#define AWAKE 0
#define SLEEPING 1
#define SPINNING 2

#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif

/* Memory, by address. */
#define WORD(p) (p)
#define TAIL(w) (2 + (w))
#define HEAD(w) (4 + (w))
#define WAITS(w) (6 + (w))
byte mem[9];
chan buffer[3] = [2] of {byte, byte};

/* The kernel. */
bool blocked[3];
bool event[3];
byte timeouts = TIMEOUTS;

#define store(a, v) buffer[me]!a, v
#define fence() empty(buffer[me])

inline exchange(a, v, old)
{
    atomic { empty(buffer[me]) -> old = mem[a]; mem[a] = v; }
}

proctype Flush(byte p)
{
    byte a, v;
end:
    do
    :: atomic { buffer[p]?a, v -> mem[a] = v; a = 0; v = 0; }
    od
}

/* doorbell_ring */
inline ring(p, rung)
{
#ifndef BUG_RING_NO_FENCE
    fence();
#endif
    seen = mem[WORD(p)];
#ifdef EVENTFD
    if
    :: (seen & 1) && seen != rung -> rung = seen; event[p] = true;
    :: else
    fi;
#else
    if
    :: seen == AWAKE
    :: else ->
#ifdef BUG_WAKE_KEEPS_WORD
        blocked[p] = false;
#else
        exchange(WORD(p), AWAKE, seen);
        if
        :: seen == SLEEPING -> blocked[p] = false;
        :: else
        fi;
#endif
    fi;
#endif
    seen = 0;
}

/* doorbell_prepare */
inline prepare()
{
#ifdef EVENTFD
    number = number + 1;
    store(WORD(me), number);
#else
#ifdef SPIN
    store(WORD(me), SPINNING);
#else
    store(WORD(me), SLEEPING);
#endif
#endif
#ifndef BUG_PREPARE_NO_FENCE
    fence();
#endif
}

/* doorbell_cancel */
inline cancel()
{
#ifdef EVENTFD
    number = number + 1;
    store(WORD(me), number);
#else
    store(WORD(me), AWAKE);
#endif
}

/* doorbell_sleep */
inline sleep()
{
#ifdef EVENTFD
#ifdef BUG_LATE_DRAIN
    event[me] = false;
#endif
    fence(); /* a system call */
    if
    :: event[me];
#ifdef BUG_SAME_SLEEP
        number = number - 1;
#else
        cancel();
#endif
        event[me] = false;
    :: atomic { timeouts > 0 -> timeouts--; } cancel();
    fi;
#else
#ifdef SPIN
    if
    :: mem[WORD(me)] == AWAKE
    :: true ->
#ifdef BUG_SPIN_STORES
        store(WORD(me), SLEEPING);
#else
        atomic {
            empty(buffer[me]) ->
            if
            :: mem[WORD(me)] == SPINNING -> mem[WORD(me)] = SLEEPING;
            :: else
            fi;
        }
#endif
    fi;
#endif
    do
    :: atomic {
           empty(buffer[me]) ->
           if
           :: mem[WORD(me)] == SLEEPING -> blocked[me] = true;
           :: else -> break;
           fi;
       }
       if
       :: !blocked[me];
       :: atomic { blocked[me] && timeouts > 0 -> timeouts--; blocked[me] = false; }
           exchange(WORD(me), AWAKE, seen);
           seen = 0;
           break;
       fi;
    od;
    store(WORD(me), AWAKE);
#endif
}

/* One look at the ring, and what then fits; `more` says how much. */
inline put()
{
    more = RING - (tail - mem[HEAD(me)]);
    assert(more <= RING);
    if
    :: more > left -> more = left;
    :: else
    fi;
    if
    :: more > 0 -> tail = tail + more; left = left - more; taken = true; store(TAIL(me), tail);
    :: else
    fi;
}

proctype Writer(byte me)
{
    byte left = WRITTEN(me), tail, more, seen, number, rung;
    bool taken, waits;
    do
    :: left == 0 -> break;
    :: else ->
        /* ring_write */
        put();
        if
        :: left > 0 -> waits = true; store(WAITS(me), 1);
        :: left == 0 && waits -> waits = false; store(WAITS(me), 0);
        :: else
        fi;
        if
        :: taken -> taken = false; ring(OWNER, rung);
        :: else
        fi;
        if
        :: left > 0 ->
            prepare();
            /* ring_pending */
            if
#ifndef BUG_SPACE_NO_RECHECK
#ifndef BUG_SPACE_NO_FLAG_LOOK
            :: mem[WAITS(me)] == 0 -> cancel();
            :: else ->
                if
                :: tail - mem[HEAD(me)] < RING -> cancel();
                :: else -> sleep();
                fi;
#else
            :: tail - mem[HEAD(me)] < RING -> cancel();
            :: else -> sleep();
#endif
#else
            :: true -> sleep();
#endif
            fi;
        :: else
        fi;
    od;
}

/* The owner's turn at one ring. Reading may stop short (a small buffer), and goes on in the next turn. */
inline serve(w, head, rung)
{
    tail = mem[TAIL(w)];
    assert(tail - head <= RING);
    if
    :: tail == head
    :: tail != head ->
        moved = true;
        if
        :: head = tail;
        :: tail - head > 1 -> head = head + 1;
        fi;
        store(HEAD(w), head);
        /* ring_peer_wants_space */
#ifndef BUG_SPACE_NO_FENCE
        fence();
#endif
        seen = mem[WAITS(w)];
        if
        :: seen && tail - head <= RING / 2 ->
            exchange(WAITS(w), 0, seen);
            if
            :: seen -> ring(w, rung);
            :: else
            fi;
        :: else
        fi;
        seen = 0;
    fi;
    tail = 0;
}

proctype Owner(byte me)
{
    byte head1, head2, tail, seen, number, rung1, rung2;
    bool moved;
    do
    :: head1 == WRITTEN(1) && head2 == WRITTEN(2) -> break;
    :: else ->
        moved = false;
        serve(1, head1, rung1);
        serve(2, head2, rung2);
        if
        :: moved
        :: else ->
            prepare();
            if
#ifndef BUG_NO_RECHECK
            :: mem[TAIL(1)] != head1 -> cancel();
            :: else ->
                if
                :: mem[TAIL(2)] != head2 -> cancel();
                :: else -> sleep();
                fi;
#else
            :: true -> sleep();
#endif
            fi;
        fi;
    od;
}

init
{
    atomic {
        run Flush(0);
        run Flush(1);
        run Flush(2);
        run Owner(OWNER);
        run Writer(1);
        run Writer(2);
    }
}
