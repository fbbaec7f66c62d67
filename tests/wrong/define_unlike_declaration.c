/* A definition that differs from the declaration in the header. */
/* refused by: the language */
#include <mobula.h>

#ifdef RIGHT
MOB_TASK_DECLARE(double, half, (double, x));
MOB_TASK_DEFINE(double, half, (double, x))
{
    return x / 2;
}
#else
MOB_TASK_DECLARE(double, half, (double, x));
MOB_TASK_DEFINE(double, half, (float, x)) /* wrong */
{
    return (double)x / 2;
}
#endif

int main(void)
{
    return 0;
}
