/* archive.c: a member of a static archive, which the call of its task pulls into the program. */
#include "tests/integration/found/tasks.h"

MOB_TASK_DEFINE(int, in_archive, (int, n))
{
    return n + 1;
}
