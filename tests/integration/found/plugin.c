/* plugin.c: a shared library that the program opens by dlopen before mob_init, with a task of its
 * own. */
#include <mobula.h>

MOB_TASK(int, in_plugin, (int, n))
{
    return n + 100;
}

/* The other definition of a name, for the program that has it too. */
#ifdef TWICE
MOB_TASK(int, in_program, (int, n))
{
    return n;
}
#endif

MOB_REF(int) plugin_call(MOB_REF(int) n);
MOB_REF(int) plugin_call(MOB_REF(int) n)
{
    return mob_remote(in_plugin, n);
}
