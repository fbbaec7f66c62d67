/* program.c: calls tasks from everywhere, each on the result of the one before; prints the last, or
 * why mob_init failed. */
#include <dlfcn.h>

#include "tests/integration/found/tasks.h"

MOB_TASK(int, in_program, (int, n))
{
    return n + 1000;
}

int main(int argc, char **argv)
{
    void *plugin = dlopen(argv[1], RTLD_NOW);
    if (plugin == NULL)
        return fprintf(stderr, "%s\n", dlerror()), 2;
    MOB_REF(int) (*plugin_call)(MOB_REF(int)) = NULL;
    *(void **)&plugin_call = dlsym(plugin, "plugin_call");
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;
    MOB_REF(int) first = mob_remote(in_program, mob_remote(in_library, mob_remote(in_archive, 0)));
    int sum = 0;
    if (mob_take(plugin_call(first), &sum, 30000) != MOB_OK)
        return mob_print_error(stderr), 1;
    printf("%d\n", sum);
    mob_shutdown();
    return 0;
}
