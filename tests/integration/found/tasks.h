/* tasks.h: tasks that are declared here and defined elsewhere: in a static archive and in a shared
 * library. */
#ifndef MOB_TESTS_FOUND_TASKS_H
#define MOB_TESTS_FOUND_TASKS_H
#include <mobula.h>

MOB_TASK_DECLARE(int, in_archive, (int, n));
MOB_TASK_DECLARE(int, in_library, (int, n));
#endif
