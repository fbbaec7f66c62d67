/* typed_values.cc: typed_values.h as C++, and what only C++ has. Linked with plain_fake.c. */
#include "tests/unit/typed_values.h"

#include <stdexcept>

extern "C" const struct mob_options *fake_options(void);
extern "C" int fake_handles(void);
extern "C" void fake_shift(size_t bytes);

static const struct mob_options *seen_options(void)
{
    return fake_options();
}

MOB_TASK(double, throws, (bool, standard))
{
    if (standard)
        throw std::runtime_error("too much");
    throw 5;
}

namespace geometry
{
MOB_STRUCT(circle, (double, radius), (mob_text, name));
enum shade { light, dark = 7 };
} // namespace geometry

/* What is left of a type's name when it is pasted does not matter in C++: qualified names and words are types. */
MOB_TASK(double, area, (geometry::circle, c))
{
    return c.radius * c.radius;
}

MOB_TASK(unsigned int, plus_one, (unsigned int, n))
{
    return n + 1;
}

template <class T> static T twice(T x)
{
    MOB_REF(T) r = mob_put(T, x);
    T back{};
    CHECK(mob_take(r, &back, SOON) == MOB_OK);
    return back + back;
}

/* An exception fails the task with its text; types in namespaces, enums and templates work. */
static void only_cxx()
{
    double x = 0;
    CHECK(mob_take(mob_remote(throws, true), &x, SOON) == MOB_ETASKFAILED);
    CHECK(strstr(mob_last_error()->text, "too much") != nullptr);
    CHECK(mob_take(mob_remote(throws, false), &x, SOON) == MOB_ETASKFAILED);
    geometry::circle c = {3, "c"};
    CHECK(mob_take(mob_remote(area, c), &x, SOON) == MOB_OK && x == 9);
    unsigned n = 0;
    CHECK(mob_take(mob_remote(plus_one, geometry::dark), &n, SOON) == MOB_OK && n == 8);
    CHECK(twice<double>(2.5) == 5 && twice<int>(4) == 8);
    CHECK(mob_take(mob_remote(plus_one, mob_move(mob_remote(plus_one, (char)1))), &n, SOON) == MOB_OK && n == 3);
}

int main()
{
    typed_values();
    fake_shift(3);
    counted = 0;
    typed_values();
    only_cxx();
    printf("%d checks failed, %d references left\n", failures, fake_handles());
    return failures != 0 || fake_handles() != 0;
}
