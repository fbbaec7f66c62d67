/* options.c: a program that reads its options and prints before it calls mob_init, as programs do;
 * a constructor too. */
#include <mobula.h>

#include <stdlib.h>
#include <unistd.h>

static int factor = 1;
static int built;

__attribute__((constructor)) static void build(void)
{
    built = 7;
    printf("constructor\n");
}

MOB_TASK(int, scaled, (int, x))
{
    return x * factor + built;
}

int main(int argc, char **argv)
{
    int option;
    printf("reading %d arguments\n", argc);
    while ((option = getopt(argc, argv, "f:")) != -1)
        factor = option == 'f' ? atoi(optarg) : factor;
    if (optind != argc - 1)
        return fprintf(stderr, "usage: options [-f factor] number\n"), 2;
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;
    int x;
    if (mob_take(mob_remote(scaled, atoi(argv[optind])), &x, 20000) != MOB_OK)
        return mob_print_error(stderr), 1;
    printf("%d\n", x);
    return 0;
}
