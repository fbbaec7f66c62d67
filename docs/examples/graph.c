/* graph.c: tasks that depend on tasks: a chain, and a diamond. A reference is an argument like any
 * other, and nobody waits for what is in between. */
#include <mobula.h>

enum { LINKS = 1000, WIDTH = 100 };

MOB_TASK(int, add_one, (int, x))
{
    return x + 1;
}

MOB_TASK(int, times, (int, x), (int, factor))
{
    return x * factor;
}

MOB_TASK(int, add, (int, x), (int, y))
{
    return x + y;
}

/* 0 -> add_one -> add_one -> ... -> add_one. mob_move hands a reference on, so only the last one is
 * left to drop. */
static MOB_REF(int) chain(void)
{
    MOB_REF(int) link = mob_remote(add_one, 0);
    for (int i = 1; i < LINKS; i++)
        link = mob_remote(add_one, mob_move(link));
    return link;
}

/* One task feeds WIDTH others, side by side; a tree of sums brings them together again:
 *
 *              +-> times(1) -+
 *     top -----+-> times(2) -+-----> sum
 *              +-> ...      -+                */
static MOB_REF(int) diamond(void)
{
    MOB_REF(int) all[2 * WIDTH], top = mob_remote(add_one, 0);
    int n = 0;
    for (int i = 1; i <= WIDTH; i++)
        all[n++] = mob_remote(times, top, i);
    mob_drop(top);
    for (int i = 0; i + 1 < n; i += 2, n++)
        all[n] = mob_remote(add, mob_move(all[i]), mob_move(all[i + 1]));
    return all[n - 1];
}

int main(int argc, char **argv)
{
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;
    MOB_REF(int) end = chain(), sum = diamond(); /* both are on their way now */
    int length, total;
    if (mob_take(end, &length, MOB_FOREVER) != MOB_OK ||
        mob_take(sum, &total, MOB_FOREVER) != MOB_OK)
        return mob_print_error(stderr), 1;
    printf("a chain of %d tasks counted to %d\n", LINKS, length);
    printf("a diamond of %d tasks came to %d\n", 2 * WIDTH, total);
    mob_shutdown();
    return length == LINKS && total == WIDTH * (WIDTH + 1) / 2 ? 0 : 1;
}
