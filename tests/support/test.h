/* test.h: cmocka with the headers that it needs before it, in their order, and the form of a test.
 *
 *     // A full ring takes nothing more and says so.
 *     MOB_TEST(ring_full_refuses) { ... }
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(ring_full_refuses)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 */
#ifndef MOB_TEST_SUPPORT_TEST_H
#define MOB_TEST_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A test that may use `state` and need not. */
#define MOB_TEST(name) static void name(void **state __attribute__((unused)))

#endif
