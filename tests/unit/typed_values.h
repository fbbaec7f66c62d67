/* typed_values.h: every type of value through a task and back, as a program of a user, in C and in
 * C++. It runs on whichever plain API it is linked with; typed_values() returns how many checks
 * failed. */
#include <mobula.h>
#include <string.h>

static int failures;
#define CHECK(truth)                                                                               \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            failures++;                                                                            \
            fprintf(stderr, "%s:%d: not true: %s (%s)\n", __FILE__, __LINE__, #truth,              \
                    mob_last_error()->text);                                                       \
        }                                                                                          \
    } while (0)
#define SOON 10000

/* A number comes back as it went, at both ends of its range. */
#define NUMBER(T)                                                                                  \
    MOB_TASK(T, echo_##T, (T, x))                                                                  \
    {                                                                                              \
        return x;                                                                                  \
    }                                                                                              \
    static void number_##T(T low, T high)                                                          \
    {                                                                                              \
        T values[2] = {low, high};                                                                 \
        for (int i = 0; i < 2; i++) {                                                              \
            MOB_REF(T) r = mob_remote(echo_##T, mob_move(mob_remote(echo_##T, values[i])));        \
            T back = 0;                                                                            \
            CHECK(mob_take(r, &back, SOON) == MOB_OK);                                             \
            CHECK(back == values[i]);                                                              \
            MOB_REF(T) put = mob_put(T, values[i]);                                                \
            back = 0;                                                                              \
            CHECK(mob_take(put, &back, SOON) == MOB_OK && back == values[i]);                      \
        }                                                                                          \
    }
NUMBER(int8_t)
NUMBER(int16_t)
NUMBER(int32_t)
NUMBER(int64_t)
NUMBER(uint8_t)
NUMBER(uint16_t)
NUMBER(uint32_t)
NUMBER(uint64_t)
NUMBER(short)
NUMBER(int)
NUMBER(unsigned)
NUMBER(long)
NUMBER(size_t)
NUMBER(ptrdiff_t)
NUMBER(float)
NUMBER(double)

MOB_TASK(bool, invert, (bool, b))
{
    return !b;
}

static void numbers(void)
{
    number_int8_t(INT8_MIN, INT8_MAX);
    number_int16_t(INT16_MIN, INT16_MAX);
    number_int32_t(INT32_MIN, INT32_MAX);
    number_int64_t(INT64_MIN, INT64_MAX);
    number_uint8_t(0, UINT8_MAX);
    number_uint16_t(1, UINT16_MAX);
    number_uint32_t(0, UINT32_MAX);
    number_uint64_t(0, UINT64_MAX);
    number_short(-300, 300);
    number_int(-1, 1000000);
    number_unsigned(0, 4000000000u);
    number_long(-1, 1L << 40);
    number_size_t(0, (size_t)1 << 60);
    number_ptrdiff_t(-5, 5);
    number_float(-1.5f, 3e38f);
    number_double(-0.1, 1e300);
    bool b = true;
    CHECK(mob_take(mob_remote(invert, true), &b, SOON) == MOB_OK && !b);
    CHECK(mob_take(mob_remote(invert, 0), &b, SOON) == MOB_OK && b);
}

/* What does not fit fails the call, with the number and the type, whatever type it came in. */
static void ranges(void)
{
    int8_t small = 0;
    uint8_t byte = 0;
    uint64_t wide = 0;
    double d = 0;
    bool b;
    CHECK(mob_take(mob_remote(echo_int8_t, 128), &small, SOON) == MOB_EINVAL);
    CHECK(strstr(mob_last_error()->text, "128 does not fit in int8") != NULL);
    CHECK(strstr(mob_last_error()->text, "argument 1 of echo_int8_t") != NULL);
    CHECK(mob_take(mob_remote(echo_int8_t, -129L), &small, SOON) == MOB_EINVAL);
    CHECK(mob_take(mob_remote(echo_int8_t, -128LL), &small, SOON) == MOB_OK && small == -128);
    CHECK(mob_take(mob_remote(echo_uint8_t, -1), &byte, SOON) == MOB_EINVAL);
    CHECK(mob_take(mob_remote(echo_uint8_t, 'a'), &byte, SOON) == MOB_OK && byte == 'a');
    CHECK(mob_take(mob_remote(echo_uint64_t, -1), &wide, SOON) == MOB_EINVAL);
    CHECK(mob_take(mob_remote(echo_uint64_t, (short)7), &wide, SOON) == MOB_OK && wide == 7);
    CHECK(mob_take(mob_remote(invert, 2), &b, SOON) == MOB_EINVAL);
    CHECK(mob_take(mob_remote(echo_double, -7), &d, SOON) == MOB_OK && d == -7.0);
    CHECK(mob_take(mob_remote(echo_double, 1.5f), &d, SOON) == MOB_OK && d == 1.5);
    float f = 0;
    CHECK(mob_take(mob_remote(echo_float, 1e300), &f, SOON) == MOB_EINVAL);
    CHECK(mob_take(mob_remote(echo_float, 0.25), &f, SOON) == MOB_OK && f == 0.25f);
}

MOB_TASK(mob_text, echo_text, (mob_text, s))
{
    return s;
}

MOB_TASK(mob_text, join, (mob_text, a), (mob_text, b))
{
    return mob_format("%s-%s", a, b);
}

MOB_TASK(mob_text, repeat, (mob_text, s), (size_t, times))
{
    size_t length = strlen(s);
    char *out = mob_alloc_array(char, length *times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(out + i * length, s, length);
    out[length * times] = '\0';
    return out;
}

/* Text is a C string at both ends, of any length, also none at all; it may be static, an argument,
 * or from mob_alloc. */
static void texts(void)
{
    char local[] = "in an array";
    mob_text back = NULL;
    MOB_REF(mob_text) r = mob_remote(echo_text, local);
    CHECK(mob_get(r, &back, SOON) == MOB_OK && strcmp(back, local) == 0);
    mob_drop(r);
    r = mob_remote(echo_text, "");
    CHECK(mob_get(r, &back, SOON) == MOB_OK && strcmp(back, "") == 0);
    mob_drop(r);
    r = mob_remote(echo_text, (mob_text)NULL);
    CHECK(mob_get(r, &back, SOON) == MOB_OK && back == NULL);
    mob_drop(r);
    r = mob_remote(join, "a", mob_move(mob_remote(join, "b", "c")));
    CHECK(mob_get(r, &back, SOON) == MOB_OK && strcmp(back, "a-b-c") == 0);
    mob_drop(r);
    r = mob_remote(repeat, mob_move(mob_remote(repeat, "0123456789", 100)), 300);
    CHECK(mob_get(r, &back, SOON) == MOB_OK && strlen(back) == 300000 &&
          strcmp(back + 299995, "56789") == 0);
    mob_drop(r);
}

MOB_TASK(mob_bytes, echo_bytes, (mob_bytes, b))
{
    return b;
}

/* Bytes of all sizes around the bounds of the encoding. */
static void bytes(void)
{
    static unsigned char data[70000];
    static const size_t sizes[] = {0,   1,   7,   8,    9,    200,  247,   248,  249,
                                   255, 256, 257, 1023, 1024, 1025, 65535, 70000};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        MOB_REF(mob_bytes) r = mob_remote(echo_bytes, mob_bytes_of(data, sizes[i]));
        mob_bytes back = {NULL, 1};
        CHECK(mob_get(r, &back, SOON) == MOB_OK && back.size == sizes[i]);
        CHECK(sizes[i] == 0 || memcmp(back.data, data, sizes[i]) == 0);
        mob_drop(r);
    }
    mob_bytes none;
    MOB_REF(mob_bytes) r = mob_remote(echo_bytes, mob_bytes_of(NULL, 5));
    CHECK(mob_get(r, &none, SOON) == MOB_EINVAL);
    mob_drop(r);
}

/* Arrays of each number, small and large, aligned at both ends. */
#define ARRAY(name, T)                                                                             \
    MOB_TASK(name, twice_##name, (name, a))                                                        \
    {                                                                                              \
        T *out = mob_alloc_array(T, a.count);                                                      \
        for (size_t i = 0; i < a.count; i++)                                                       \
            out[i] = (T)(a.data[i] + a.data[i]);                                                   \
        if ((uintptr_t)a.data % sizeof(T) != 0)                                                    \
            mob_fail(1, "not aligned");                                                            \
        return name##_of(out, a.count);                                                            \
    }                                                                                              \
    static void array_##name(void)                                                                 \
    {                                                                                              \
        static T data[1000];                                                                       \
        for (size_t i = 0; i < 1000; i++)                                                          \
            data[i] = (T)(i % 60);                                                                 \
        for (size_t count = 0; count <= 1000; count = count * 3 + 1) {                             \
            MOB_REF(name) r = mob_remote(twice_##name, name##_of(data, count));                    \
            name back = {NULL, 1};                                                                 \
            CHECK(mob_get(r, &back, SOON) == MOB_OK && back.count == count);                       \
            CHECK((uintptr_t)back.data % sizeof(T) == 0);                                          \
            for (size_t i = 0; i < count; i++)                                                     \
                CHECK(back.data[i] == (T)(2 * (i % 60)));                                          \
            mob_drop(r);                                                                           \
        }                                                                                          \
    }
ARRAY(mob_int8s, int8_t)
ARRAY(mob_int16s, int16_t)
ARRAY(mob_int32s, int32_t)
ARRAY(mob_int64s, int64_t)
ARRAY(mob_uint8s, uint8_t)
ARRAY(mob_uint16s, uint16_t)
ARRAY(mob_uint32s, uint32_t)
ARRAY(mob_uint64s, uint64_t)
ARRAY(mob_floats, float)
ARRAY(mob_doubles, double)

static void arrays(void)
{
    array_mob_int8s();
    array_mob_int16s();
    array_mob_int32s();
    array_mob_int64s();
    array_mob_uint8s();
    array_mob_uint16s();
    array_mob_uint32s();
    array_mob_uint64s();
    array_mob_floats();
    array_mob_doubles();
}

MOB_STRUCT(point, (double, x), (double, y));
/* lint-allow: typedef: a struct as users have them */
typedef struct sample {
    int32_t id;
    bool good;
    point at;
    const char *label;
    mob_doubles series;
    mob_bytes raw;
    MOB_REF(double) weight;
    void *private_data;
} sample;
MOB_FIELDS(sample, (int32_t, id), (bool, good), (point, at), (mob_text, label),
           (mob_doubles, series), (mob_bytes, raw), (MOB_REF(double), weight));

MOB_TASK(point, mirror, (point, p))
{
    point m = {-p.x, -p.y};
    return m;
}

MOB_TASK(sample, change, (sample, s))
{
    s.id++;
    s.good = !s.good;
    s.at.x += 1;
    s.label = mob_format("%s!", s.label);
    CHECK(s.private_data == NULL);
    return s;
}

/* Structs, with structs, views and references inside; what is not a field arrives as zero. */
static void structs(void)
{
    point p = {1, 2};
    CHECK(mob_take(mob_remote(mirror, p), &p, SOON) == MOB_OK && p.x == -1 && p.y == -2);
    static double series[500];
    series[499] = 4;
    MOB_REF(double) weight = mob_put(double, 0.5);
    sample s = {41,     false, {1, 2}, "label", mob_doubles_of(series, 500), mob_bytes_of("abc", 3),
                weight, &p};
    MOB_REF(sample) r = mob_remote(change, s);
    sample back;
    CHECK(mob_get(r, &back, SOON) == MOB_OK);
    CHECK(back.id == 42 && back.good && back.at.x == 2 && back.at.y == 2 &&
          strcmp(back.label, "label!") == 0);
    CHECK(back.series.count == 500 && back.series.data[499] == 4 && back.raw.size == 3 &&
          back.private_data == NULL);
    double w = 0;
    CHECK(mob_get(back.weight, &w, SOON) == MOB_OK && w == 0.5);
    mob_drop(back.weight);
    mob_drop(r);
    mob_drop(weight);
}

MOB_STRUCT(word, (mob_text, text), (uint64_t, count));
MOB_LIST(word, words);
MOB_LIST(mob_text, lines);
MOB_STRUCT(page, (words, all), (lines, raw));

MOB_TASK(words, count_words, (lines, l))
{
    word *out = mob_alloc_array(word, l.count);
    for (size_t i = 0; i < l.count; i++) {
        out[i].text = l.data[i];
        out[i].count = strlen(l.data[i]);
    }
    words result = {out, l.count};
    return result;
}

MOB_TASK(page, make_page, (words, w), (lines, l))
{
    page p = {w, l};
    return p;
}

/* Lists of structs and of text, empty ones, and lists inside structs. */
static void lists(void)
{
    static const mob_text texts_of[] = {"a", "bcd", "", NULL};
    lines l = {texts_of, 3};
    MOB_REF(words) r = mob_remote(count_words, l);
    words back;
    CHECK(mob_get(r, &back, SOON) == MOB_OK && back.count == 3);
    CHECK(strcmp(back.data[1].text, "bcd") == 0 && back.data[1].count == 3 &&
          back.data[2].count == 0);
    MOB_REF(page) p = mob_remote(make_page, r, l);
    page whole;
    CHECK(mob_get(p, &whole, SOON) == MOB_OK && whole.all.count == 3 && whole.raw.count == 3);
    CHECK(strcmp(whole.all.data[1].text, "bcd") == 0 && strcmp(whole.raw.data[1], "bcd") == 0);
    mob_drop(p);
    mob_drop(r);
    l.count = 0;
    r = mob_remote(count_words, l);
    CHECK(mob_get(r, &back, SOON) == MOB_OK && back.count == 0);
    mob_drop(r);
}

/* lint-allow: typedef: a struct as users have them */
typedef struct colour {
    unsigned char r, g, b;
    const char *name;
} colour;

static int colour_encode(const colour *c, struct mob_writer *out)
{
    unsigned char bytes[3] = {c->r, c->g, c->b};
    int rc = mob_write(out, bytes, sizeof bytes);
    return rc == MOB_OK ? mob_write(out, c->name, strlen(c->name) + 1) : rc;
}

static int colour_decode(colour *c, const void *data, size_t size, struct mob_memory *memory)
{
    const unsigned char *bytes = (const unsigned char *)data;
    if (size < 4 || bytes[size - 1] != '\0')
        return MOB_EENCODING;
    char *name = (char *)mob_memory_get(memory, size - 3);
    if (name == NULL)
        return MOB_ENOMEM;
    memcpy(name, bytes + 3, size - 3);
    c->r = bytes[0];
    c->g = bytes[1];
    c->b = bytes[2];
    c->name = name;
    return MOB_OK;
}
MOB_CODEC(colour, colour_encode, colour_decode);
MOB_STRUCT(pixel, (point, at), (colour, paint));

MOB_TASK(colour, darker, (colour, c))
{
    c.r = (unsigned char)(c.r / 2);
    return c;
}

MOB_TASK(pixel, paint, (pixel, p), (colour, c))
{
    p.paint = c;
    return p;
}

/* A type with an encoding of its own, alone and as a field. */
static void codecs(void)
{
    colour red = {200, 1, 2, "red"};
    MOB_REF(colour) r = mob_remote(darker, red);
    colour back;
    CHECK(mob_get(r, &back, SOON) == MOB_OK && back.r == 100 && back.b == 2 &&
          strcmp(back.name, "red") == 0);
    pixel p = {{3, 4}, {0, 0, 0, "black"}}, q;
    MOB_REF(pixel) painted = mob_remote(paint, p, r);
    CHECK(mob_get(painted, &q, SOON) == MOB_OK && q.at.y == 4 && q.paint.r == 100 &&
          strcmp(q.paint.name, "red") == 0);
    mob_drop(painted);
    mob_drop(r);
}

MOB_TASK(double, through, (MOB_REF(double), r))
{
    double x = 0;
    CHECK(mob_get(r, &x, SOON) == MOB_OK);
    return x + 1;
}

MOB_TASK(MOB_REF(double), pass_on, (MOB_REF(double), r))
{
    return r;
}

MOB_TASK(void, nothing)
{
}

MOB_TASK(void, fails, (int, code), (mob_text, why))
{
    mob_fail(code, "because %s", why);
}

MOB_TASK(double, after, (double, x))
{
    return x;
}

MOB_TASK(double, fails_double)
{
    return mob_fail(9, "no number"), 0.0;
}

/* References as arguments and as results; results of nothing; failures, which reach those that
 * depend on them. */
static void references(void)
{
    MOB_REF(double) a = mob_put(double, 1);
    double x = 0;
    CHECK(mob_take(mob_remote(through, a), &x, SOON) == MOB_OK && x == 2);
    CHECK(mob_take(mob_remote(through, mob_move(mob_copy(a))), &x, SOON) == MOB_OK && x == 2);
    MOB_REF(MOB_REF(double)) rr = mob_remote(pass_on, a);
    MOB_REF(double) inner = MOB_NO_REF;
    CHECK(mob_get(rr, &inner, SOON) == MOB_OK && mob_get(inner, &x, SOON) == MOB_OK && x == 1);
    mob_drop(inner);
    CHECK(mob_take(mob_remote(through, rr), &x, SOON) == MOB_OK && x == 2);
    mob_drop(rr);
    MOB_REF(void) v = mob_remote(nothing);
#ifdef __cplusplus
    CHECK(mob_take(v, nullptr, SOON) == MOB_OK);
#else
    CHECK(mob_take(v, NULL, SOON) == MOB_OK);
#endif
    v = mob_remote(fails, 5, "of me");
    char ignored = 0;
    CHECK(mob_take(v, (void *)&ignored, SOON) == MOB_ETASKFAILED);
    CHECK(mob_last_error()->user_code == 5 &&
          strstr(mob_last_error()->text, "because of me") != NULL);
    MOB_REF(double) bad = mob_remote(fails_double);
    CHECK(mob_take(mob_remote(after, bad), &x, SOON) == MOB_EDEPENDENCY);
    mob_drop(bad);
    mob_drop(a);
    MOB_REF(double) unset = MOB_NO_REF;
    CHECK(mob_get(unset, &x, SOON) == MOB_ENOOBJECT);
    CHECK(mob_take(mob_remote(after, unset), &x, SOON) == MOB_ENOOBJECT);
}

MOB_TASK_RESULTS(divide, ((int64_t, quotient), (int64_t, rest), (mob_text, as_text)), (int64_t, a),
                 (int64_t, b))
{
    if (b == 0) {
        mob_fail(1, "division of %lld by zero", (long long)a);
        return;
    }
    results->quotient = a / b;
    results->rest = a % b;
    results->as_text = mob_format("%lld/%lld", (long long)a, (long long)b);
}

MOB_TASK_RESULTS(two, ((point, p), (bool, b)))
{
    results->p.y = 2;
    results->b = true;
}

/* Several results, each with a reference of its own. */
static void several(void)
{
    MOB_REFS(divide) r = mob_remote(divide, 17, 5);
    int64_t q = 0, rest = 0;
    mob_text text = NULL;
    CHECK(mob_take(r.quotient, &q, SOON) == MOB_OK && mob_take(r.rest, &rest, SOON) == MOB_OK &&
          q == 3 && rest == 2);
    CHECK(mob_get(r.as_text, &text, SOON) == MOB_OK && strcmp(text, "17/5") == 0);
    mob_drop(r.as_text);
    r = mob_remote(divide, 17, 0);
    CHECK(mob_take(r.quotient, &q, SOON) == MOB_ETASKFAILED &&
          mob_take(r.rest, &q, SOON) == MOB_ETASKFAILED);
    mob_drop(r.as_text);
    MOB_REFS(two) t = mob_remote(two);
    point p;
    bool b = false;
    CHECK(mob_take(t.p, &p, SOON) == MOB_OK && p.y == 2 && mob_take(t.b, &b, SOON) == MOB_OK && b);
}

MOB_TASK_DECLARE(double, declared, (double, x));
MOB_TASK_DEFINE(double, declared, (double, x))
{
    return 2 * x;
}

MOB_TASK(int, sum15, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h),
         (int, i), (int, j), (int, k), (int, l), (int, m), (int, n), (int, o))
{
    return a + b + c + d + e + f + g + h + i + j + k + l + m + n + o;
}

static int counted;
static int count_up(void)
{
    return ++counted;
}

static const struct mob_options *seen_options(void);

/* Many arguments, each evaluated once; arrays of references; options; a task called as the function
 * that it is. */
static void calls(void)
{
    int sum = 0;
    CHECK(mob_take(mob_remote(sum15, count_up(), count_up(), 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                              14, 15),
                   &sum, SOON) == MOB_OK);
    CHECK(sum == 120 && counted == 2);
    double x = 0;
    CHECK(mob_take(mob_remote(declared, 1.25), &x, SOON) == MOB_OK && x == 2.5 && declared(1) == 2);
    enum { MANY = 100 };
    MOB_REF(double) refs[MANY];
    double values[MANY];
    bool ready[MANY];
    for (int i = 0; i < MANY; i++)
        refs[i] = mob_remote(declared, i);
    CHECK(mob_wait(refs, MANY, MANY, SOON, ready) == MOB_OK && ready[MANY - 1]);
    CHECK(mob_get_all(refs, MANY, values, SOON) == MOB_OK && values[MANY - 1] == 2 * (MANY - 1));
    CHECK(mob_get_all(refs, 3, values, SOON) == MOB_OK && values[2] == 4);
    CHECK(mob_get_all(refs, 0, values, SOON) == MOB_OK);
    for (int i = 0; i < MANY; i++)
        mob_drop(refs[i]);
    struct mob_options options = MOB_OPTIONS_INIT;
    options.retries = MOB_NO_RETRIES;
    CHECK(mob_take(mob_remote_with(&options, declared, 1), &x, SOON) == MOB_OK);
    CHECK(seen_options() == NULL || seen_options()->retries == MOB_NO_RETRIES);
}

static int typed_values(void)
{
    numbers();
    ranges();
    texts();
    bytes();
    arrays();
    structs();
    lists();
    codecs();
    references();
    several();
    calls();
    return failures;
}
