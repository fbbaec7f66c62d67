/* An encoder for another type. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;
MOB_STRUCT(point, (double, x), (double, y));

__attribute__((unused)) static int size_encode(const size *s, struct mob_writer *out)
{
    return mob_write(out, s, sizeof *s);
}
__attribute__((unused)) static int point_encode(const point *p, struct mob_writer *out)
{
    return mob_write(out, p, sizeof *p);
}
__attribute__((unused)) static int size_decode(size *s, const void *data, size_t bytes,
                                               struct mob_memory *memory)
{
    (void)data, (void)memory;
    s->x = s->y = 0;
    return bytes == 0 ? MOB_OK : MOB_EENCODING;
}

#ifdef RIGHT
MOB_CODEC(size, size_encode, size_decode);
#else
MOB_CODEC(size, point_encode, size_decode); /* wrong */
#endif

int main(void)
{
    return 0;
}
