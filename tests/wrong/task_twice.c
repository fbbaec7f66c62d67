/* Two tasks of one name in a file. */
/* refused by: the language */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

#ifdef RIGHT
MOB_TASK(double, another)
{
    return 1;
}
#else
MOB_TASK(double, zero) /* wrong */
{
    return 1;
}
#endif

int main(void)
{
    return 0;
}
