/* seat.pml: does everybody wake whose answer is there?
 *
 * Two threads of a program ask and wait, the library's thread drives when nobody else does, and a peer answers through
 * a ring each way. The steps are those of libclient/seat.c and turn.c, named here as there. One lock protects all that
 * the three threads share, so only the peer moves while a critical section is under way. That a bell which was rung
 * wakes who sleeps on it is what doorbell.pml checks; here a bell and the words of the sleepers are simply levels.
 *
 * The ring to the peer holds one question, so that writes are short: what does not fit stays in the backlog, and the
 * writer says that it waits for space. After the last answer the peer sends one more message, for which no thread
 * waits: somebody must read it all the same. -DTIMEOUTS=n lets n waits end at their deadline; the thread then waits
 * anew. -DSHUT lets another thread end all waits at any time.
 *
 * What must hold: every run ends with all questions answered and the last message read. A lost wake-up is a state in
 * which nobody can go on, which spin reports as an invalid end state.
 * check: => holds
 * check: -DTIMEOUTS=1 => holds
 * check: -DSHUT => holds
 *
 * What must be found: who leaves the seat does not wake the next sleeper (1) or the parked library thread (2); one that
 * was woken to take the seat, and found its answer there, does not pass it on (3); a thread sleeps before what it asks
 * is under way (4); a write is short while another thread sleeps in the seat, and nobody looks again (5); the holder of
 * the seat is woken by its word (6); nobody looks at the rings between the preparation of a sleep and the sleep (7).
 * check: -DBUG_LEAVE_SLEEPER | -O0 -DSAFETY | => fails
 * check: -DBUG_LEAVE_PARKED | -O0 -DSAFETY | => fails
 * check: -DBUG_PASS_PARKED | -O0 -DSAFETY | => fails
 * check: -DBUG_NO_FLUSH | -O0 -DSAFETY | => fails
 * check: -DBUG_SHORT_WRITE | -O0 -DSAFETY | => fails
 * check: -DBUG_HOLDER_BY_WORD -DSHUT | -O0 -DSAFETY | => fails
 * check: -DBUG_NO_RECHECK | -O0 -DSAFETY | => fails */

#define ROUNDS(u) (2 - (u)) /* questions of each */
#define USERS 2 /* 0 and 1 */
#define NONE 3
#define LAST 4 /* the message for which nobody waits */

#define FREE 0
#define USER 1
#define LIBRARY 2

#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif

bool locked;
byte timeouts = TIMEOUTS;

/* The rings: bits of the questions and answers by user. */
byte out, in;
bool waits; /* for space: shared with the peer */

/* The core and the shell, under the lock. */
byte backlog;
bool is_short; /* ring_out.waits: our own note of `waits` */
bool done[USERS], last_read, failed;
byte finished; /* users */
byte seat = FREE, holder = NONE;
bool asleep, wanted, used, parked;
bool queued[USERS];
byte first; /* the oldest sleeper, if it is queued */

bool bell; /* SLEEPING */
bool word[USERS], library_word; /* set: woken */

#define acquire() atomic { !locked -> locked = true; }
#define release() locked = false
#define bit(u) (1 << (u))
#define over (finished == USERS && (last_read || failed))

/* Our bell, by the peer or by ourselves. */
#define ring() bell = false

inline disturb()
{
    if
    :: asleep -> ring();
    :: else
    fi;
}

inline sleeper_wake(u)
{
#ifndef BUG_HOLDER_BY_WORD
    if
    :: u == holder -> disturb();
    :: else -> word[u] = true;
    fi;
#else
    word[u] = true;
#endif
}

/* turn_flush and ring_send. The peer may move between the steps. */
inline flush()
{
    do
    :: backlog == 0 -> is_short = false; break;
    :: backlog != 0 ->
        if
        :: out == 0 && (backlog & bit(0)) -> backlog = backlog & bit(1); out = bit(0);
        :: out == 0 && backlog == bit(1) -> backlog = 0; out = bit(1);
        :: else ->
            is_short = true;
            waits = true;
#ifdef BUG_SHORT_WRITE
            break;
#else
            if
            :: asleep && out == 0
            :: else -> break;
            fi;
#endif
        fi;
    od;
}

inline settle(u)
{
    done[u] = true;
    sleeper_wake(u);
}

/* turn_read and seat_wake_woken */
inline read()
{
    atomic {
        got = in;
        in = 0;
    }
    if
    :: got & LAST -> last_read = true;
    :: else
    fi;
    if
    :: got & bit(0) -> settle(0);
    :: else
    fi;
    if
    :: got & bit(1) -> settle(1);
    :: else
    fi;
}

/* seat_turn, with the seat and the lock. */
inline turn()
{
    read();
    flush();
    if
    :: got != 0 -> got = 0; release(); acquire(); /* lock_offer */
    :: else ->
        bell = true; /* doorbell_prepare */
        if
#ifndef BUG_NO_RECHECK
        :: in != 0 || (is_short && (!waits || out == 0)) || wanted -> bell = false; /* turn_pending */
#else
        :: wanted -> bell = false;
#endif
        :: else ->
            asleep = true;
            release();
            if
            :: !bell;
            :: over;
            :: atomic { timeouts > 0 -> timeouts--; bell = false; }
            fi;
            acquire();
            asleep = false;
        fi;
    fi;
}

inline sleeper_remove(u)
{
    if
    :: queued[u] -> queued[u] = false; first = 1 - u;
    :: else
    fi;
}

inline pass_on()
{
    if
    :: queued[0] || queued[1] ->
        word[first] = true;
    :: else ->
#ifndef BUG_PASS_PARKED
        if
        :: parked -> library_word = true;
        :: else
        fi;
#endif
    fi;
}

inline leave()
{
    seat = FREE;
    holder = NONE;
    if
    :: queued[0] || queued[1] ->
#ifndef BUG_LEAVE_SLEEPER
        word[first] = true;
#endif
        skip;
    :: else ->
#ifndef BUG_LEAVE_PARKED
        if
        :: parked -> library_word = true;
        :: else
        fi;
#endif
    fi;
}

proctype User(byte me)
{
    byte round, got;
    bool held, late;
    do
    :: round == ROUNDS(me) || failed -> break;
    :: else ->
        acquire();
        done[me] = failed;
        backlog = backlog | bit(me);
        if
        :: true /* shell_unlock: the answer may come before the wait */
#ifndef BUG_NO_FLUSH
            -> flush();
#endif
            used = true;
            release();
            acquire();
        :: true
        fi;
wait:
        /* seat_wait */
        held = false;
        late = false;
#ifndef BUG_NO_FLUSH
        flush();
#endif
        do
        :: done[me] || late -> break;
        :: else ->
            used = true;
            if
            :: seat == FREE -> seat = USER; holder = me; held = true; sleeper_remove(me);
            :: else
            fi;
            if
            :: held -> turn();
            :: else ->
                if
                :: seat == LIBRARY -> wanted = true; disturb();
                :: else
                fi;
                if
                :: !queued[me] -> queued[me] = true; first = (queued[1 - me] -> 1 - me : me);
                :: else
                fi;
                word[me] = false;
                release();
                if
                :: word[me];
                :: atomic { timeouts > 0 -> timeouts--; late = true; }
                fi;
                acquire();
            fi;
        od;
        sleeper_remove(me);
        used = true;
        if
        :: held -> leave();
        :: !held && seat == FREE -> pass_on();
        :: else
        fi;
        release();
        if
        :: late && !done[me] -> acquire(); goto wait;
        :: else -> round++;
        fi;
    od;
    finished++;
}

/* seat_library_thread; a nap is over at once. */
proctype Library()
{
    byte got;
    bool quiet;
    acquire();
    do
    :: over -> release(); break;
    :: !over && seat == FREE && !queued[0] && !queued[1] && !used ->
        seat = LIBRARY;
        do
        :: wanted || used || over -> break;
        :: else -> turn();
        od;
        wanted = false;
        leave();
    :: else ->
        quiet = !used;
        used = false;
        if
        :: seat == FREE && !queued[0] && !queued[1] -> read(); got = 0;
        :: else
        fi;
        flush();
        library_word = false;
        parked = quiet;
        release();
        if
        :: library_word;
        :: !quiet;
        fi;
        acquire();
        parked = false;
    od;
}

/* The first answers are given when both have asked: whoever sleeps in the seat may wait for what the other one sends. */
proctype Peer()
{
    byte left = ROUNDS(0) + ROUNDS(1), taken, asked, held_back;
    do
    :: left == 0 || failed -> break;
    :: atomic { out != 0 && left > 0 -> taken = out; out = 0; left--; }
        if
        :: atomic { waits -> waits = false; } ring(); /* ring_peer_wants_space */
        :: else
        fi;
        asked = asked | taken;
        held_back = held_back | taken;
        taken = 0;
        if
        :: asked == (bit(0) | bit(1)) -> atomic { in = in | held_back; held_back = 0; } ring();
        :: else
        fi;
    od;
    if
    :: failed
    :: else -> in = in | LAST; ring(); last_read || failed;
    fi;
}

#ifdef SHUT
proctype Closer()
{
    acquire();
    failed = true;
    settle(0);
    settle(1);
    release();
}
#endif

init
{
    atomic {
        run User(0);
        run User(1);
        run Library();
        run Peer();
#ifdef SHUT
        run Closer();
#endif
    }
}
