/* library.c: a shared library that the program is linked with. */
#include "tests/integration/found/tasks.h"

MOB_TASK_DEFINE(int, in_library, (int, n))
{
    return n + 10;
}
