/* A field that its struct does not have. */
/* refused by: the language */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
#else
MOB_FIELDS(size, (double, x), (double, z)); /* wrong */
#endif

int main(void)
{
    return 0;
}
