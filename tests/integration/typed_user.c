/* typed_user.c: what users write, in the ways that they write it: no compiler has a word to say
 * about it. In C and C++. */
#ifdef __cplusplus
#define NOTHING nullptr
#else
#define NOTHING NULL
#endif
#include <mobula.h>
MOB_STRUCT(point, (double, x), (double, y));
/* lint-allow: typedef: a struct as users have them */
typedef struct label {
    mob_text name;
    point at;
    MOB_REF(double) more;
    int skipped;
} label;
MOB_FIELDS(label, (mob_text, name), (point, at), (MOB_REF(double), more));
MOB_TASK(double, estimate, (uint64_t, seed), (size_t, n))
{
    return (double)(seed + n);
}
MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}
MOB_TASK(uint64_t, words, (mob_text, s), (mob_bytes, b), (mob_doubles, d))
{
    return (s != NULL) + b.size + d.count;
}
MOB_TASK(double, zero)
{
    return 0;
}
MOB_TASK(void, nothing, (bool, b))
{
    (void)b;
}
MOB_TASK(point, mirror, (point, p), (label, l))
{
    (void)l;
    point q = {-p.x, -p.y};
    return q;
}
MOB_TASK(double, keep, (MOB_REF(double), r))
{
    double x;
    int rc = mob_get(r, &x, MOB_FOREVER);
    return rc == MOB_OK ? x : 0;
}
MOB_TASK(MOB_REF(double), later)
{
    return mob_remote(zero);
}
MOB_TASK_RESULTS(divide, ((int64_t, quotient), (int64_t, rest)), (int64_t, a), (int64_t, b))
{
    if (b == 0) {
        mob_fail(1, "division of %lld by zero", (long long)a);
        return;
    }
    results->quotient = a / b;
    results->rest = a % b;
}
MOB_TASK_RESULTS(two, ((int64_t, quotient), (mob_text, rest)))
{
    results->rest = "x";
}
MOB_TASK_DECLARE(double, shared, (double, a));
MOB_TASK_DEFINE(double, shared, (double, a))
{
    return a;
}
int main(int argc, char **argv)
{
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;
    MOB_REF(double) a = mob_remote(estimate, 1, 1000000);
    MOB_REF(double)
    b = mob_remote(mean, a,
                   mob_remote(mean, mob_move(mob_remote(estimate, 2, 3u)), mob_remote(zero)));
    char buf[10] = "";
    mob_doubles d = mob_doubles_of(NULL, 0);
    point p = {1, 2};
    label l = {"x", p, a, 1};
    MOB_REF(uint64_t) w = mob_remote(words, "text", mob_bytes_of(buf, 10), d);
    w = mob_remote(words, buf, mob_bytes_of(buf, 10), d);
    MOB_REF(point) q = mob_remote(mirror, p, l);
    MOB_REF(void) v = mob_remote(nothing, true);
    MOB_REF(double) k = mob_remote(keep, a);
    k = mob_remote(keep, mob_move(a));
    MOB_REF(MOB_REF(double)) lat = mob_remote(later);
    k = mob_remote(keep, lat);
    k = mob_remote(shared, 1.5f);
    MOB_REFS(divide) r = mob_remote(divide, 17, 5);
    int64_t rest;
    int rc = mob_get(r.rest, &rest, MOB_FOREVER);
    double x, xs[2];
    MOB_REF(double) all[2] = {b, k};
    bool ready[2];
    rc |= mob_get(b, &x, MOB_FOREVER) | mob_get_all(all, 2, xs, 100) |
          mob_wait(all, 2, 1, 0, ready) | mob_take(q, &p, 1);
    rc |= mob_get(lat, &k, 1) | mob_get(v, NOTHING, 3);
    MOB_REF(size_t) s = mob_put(size_t, 5);
    MOB_REF(mob_text) t = mob_put(mob_text, "x");
    mob_drop(t);
    MOB_REF(bool) bb = mob_put(bool, 1);
    (void)bb;
    (void)s;
    b = mob_copy(k);
    MOB_REFS(two) tt = mob_remote(two);
    (void)tt;
    mob_shutdown();
    return rc + (w.any.id.seq != 0);
}
