/* Packets with descriptors, and what a worker leaves behind for its node. */
#include "tests/support/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/control.h"
#include "protocol/report.h"

static struct view view_bytes(const void *bytes, size_t size)
{
    return (struct view){bytes, size};
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool same_file(int a, int b)
{
    char name[2][64], target[2][128];
    const int fds[2] = {a, b};
    ssize_t length[2];
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "/proc/self/fd/%d", fds[i]);
        length[i] = readlink(name[i], target[i], sizeof target[i]);
    }
    return length[0] > 0 && length[0] == length[1] &&
           memcmp(target[0], target[1], (size_t)length[0]) == 0;
}

/* A message and its descriptors arrive in order, closed at exec; what is not taken is closed. */
MOB_TEST(packet_arrives)
{
    int pair[2], pipe_fds[2];
    struct mob_err err;
    struct control_packet packet = {0};
    unsigned before = open_fds();
    assert_int_equal(control_pair(pair, &err), MOB_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(control_send(pair[0], view_bytes("hello", 5), pipe_fds, 2, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_OK);
    assert_int_equal(buffer_size(&packet.bytes), 5);
    assert_memory_equal(buffer_head(&packet.bytes), "hello", 5);
    assert_int_equal(packet.fd_count, 2);
    assert_int_equal(fcntl(packet.fds[0], F_GETFD), FD_CLOEXEC);
    int taken = control_packet_take(&packet, 1);
    assert_true(same_file(taken, pipe_fds[1]));
    assert_int_equal(control_packet_take(&packet, 2), -1);
    control_packet_fini(&packet);
    close(taken);
    close(pair[0]);
    close(pair[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(open_fds(), before);
}

/* A message beyond a packet's size arrives all the same, with the same descriptors; one beyond the
 * bound is refused. */
MOB_TEST(long_message_arrives)
{
    int pair[2];
    struct mob_err err;
    struct control_packet packet = {0};
    size_t size = 3 << 20;
    char *bytes = malloc(size + (2 << 20));
    memset(bytes, 'x', size);
    bytes[size - 1] = 'y';
    assert_int_equal(control_pair(pair, &err), MOB_OK);
    unsigned before = open_fds();
    assert_int_equal(control_send(pair[0], view_bytes(bytes, size), pair, 1, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_OK);
    assert_int_equal(buffer_size(&packet.bytes), size);
    assert_memory_equal(buffer_head(&packet.bytes), bytes, size);
    assert_int_equal(packet.fd_count, 1);
    assert_true(same_file(packet.fds[0], pair[0]));
    control_packet_fini(&packet);
    assert_int_equal(open_fds(), before);
    memset(bytes, 'x', size + (2 << 20));
    assert_int_equal(control_send(pair[0], view_bytes(bytes, size + (2 << 20)), NULL, 0, &err),
                     MOB_ETOOBIG);
    free(bytes);
    close(pair[0]);
    close(pair[1]);
}

/* A marker without what it announces, or with something else, is refused and leaks nothing. */
MOB_TEST(forged_long_message)
{
    int pair[2], pipe_fds[2];
    struct mob_err err;
    struct control_packet packet = {0};
    assert_int_equal(control_pair(pair, &err), MOB_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    unsigned before = open_fds();
    assert_int_equal(control_send(pair[0], view_bytes("\xc1", 1), NULL, 0, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_EPROTO);
    assert_int_equal(control_send(pair[0], view_bytes("\xc1", 1), pipe_fds, 2, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_EPROTO);
    control_packet_fini(&packet);
    assert_int_equal(open_fds(), before);
    close(pair[0]);
    close(pair[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* A packet longer than any that is sent is refused. */
MOB_TEST(overlong_packet)
{
    static char bytes[64 << 10];
    int pair[2];
    struct mob_err err;
    struct control_packet packet = {0};
    assert_int_equal(control_pair(pair, &err), MOB_OK);
    assert_int_equal(send(pair[0], bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_EPROTO);
    control_packet_fini(&packet);
    close(pair[0]);
    close(pair[1]);
}

/* Nobody blocks on one that does not read, and the end is told apart from silence. */
MOB_TEST(full_and_closed)
{
    static const char bytes[16 << 10];
    int pair[2], rc;
    unsigned sent = 0;
    struct mob_err err;
    struct control_packet packet = {0};
    assert_int_equal(control_pair(pair, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_ETIMEDOUT);
    while ((rc = control_send(pair[0], view_bytes(bytes, sizeof bytes), NULL, 0, &err)) == MOB_OK)
        sent++;
    assert_int_equal(rc, MOB_EAGAIN);
    close(pair[0]);
    for (; sent > 0; sent--)
        assert_int_equal(control_receive(pair[1], &packet, 0, &err), MOB_OK);
    assert_int_equal(control_receive(pair[1], &packet, -1, &err), MOB_EPEERDIED);
    assert_int_equal(control_send(pair[1], view_bytes(bytes, 1), NULL, 0, &err), MOB_EPEERDIED);
    control_packet_fini(&packet);
    close(pair[1]);
}

/* A report keeps the crash and the last bytes of stderr, in order. */
MOB_TEST(report_keeps_the_last)
{
    int fd;
    struct mob_err err;
    struct report_copy copy;
    assert_int_equal(report_create(&fd, &err), MOB_OK);
    report_read(fd, &copy);
    assert_int_equal(copy.signal, 0);
    assert_int_equal(copy.tail_size, 0);
    struct report *report = report_map(fd);
    assert_non_null(report);
    char line[64];
    for (int i = 0; i < 200; i++) {
        int size = snprintf(line, sizeof line, "line %03d of many\n", i);
        report_tail(report, line, (size_t)size);
    }
    report_crash(report, 11, 0x18);
    report_function(report, "user_function");
    report_unmap(report);
    report_read(fd, &copy);
    assert_int_equal(copy.signal, 11);
    assert_int_equal(copy.address, 0x18);
    assert_string_equal(copy.function, "user_function");
    assert_int_equal(copy.tail_size, REPORT_TAIL_MAX);
    assert_memory_equal(copy.tail + copy.tail_size - 17, "line 199 of many\n", 17);
    close(fd);
}

/* Whatever a worker writes into its report, the node reads text of bounded size. */
MOB_TEST(hostile_report)
{
    int fd;
    struct mob_err err;
    struct report_copy copy;
    assert_int_equal(report_create(&fd, &err), MOB_OK);
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    memset(page, 0xff, 4096);
    report_read(fd, &copy);
    assert_int_equal(copy.signal, 0);
    assert_int_equal(copy.tail_size, REPORT_TAIL_MAX);
    assert_int_equal(strlen(copy.function), REPORT_FUNCTION_MAX - 1);
    memset(page, '\n', 4096);
    report_read(fd, &copy);
    assert_null(strchr(copy.function, '\n'));
    munmap(page, 4096);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_arrives),      cmocka_unit_test(long_message_arrives),
        cmocka_unit_test(forged_long_message), cmocka_unit_test(overlong_packet),
        cmocka_unit_test(full_and_closed),     cmocka_unit_test(report_keeps_the_last),
        cmocka_unit_test(hostile_report),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
