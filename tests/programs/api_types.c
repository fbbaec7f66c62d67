/* api_types.c: every type of value, and every form of call, on a real cluster. */
#include "tests/unit/typed_values.h"

/* Options are not to be seen from outside. */
static const struct mob_options *seen_options(void)
{
    return NULL;
}

int main(int argc, char **argv)
{
    struct mob_config config = MOB_CONFIG_INIT;
    config.cpus = 2;
    if (mob_init(&argc, &argv, &config) != MOB_OK)
        return mob_print_error(stderr), 1;
    int wrong = typed_values();
    mob_shutdown();
    return wrong == 0 ? 0 : 1;
}
