/* protocol.c: prints docs/PROTOCOL.md: copies docs/generate/protocol.md and puts the tables of the
 * .def files where a line says @structs, @messages FIRST LAST, @records, @errors or @settings.
 * `make docs` runs it; `make lint` fails when the page in the tree is another. */
#include <stdbool.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The beginning of a line of text. */
static void sentence(const char *text)
{
    printf("%c%s.\n", toupper((unsigned char)text[0]), text + 1);
}

/* Text in a table: a bar would end the cell. */
static void cell(const char *text)
{
    for (; *text != '\0'; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void fields_begin(void)
{
    printf("\n| field | kind | meaning |\n|---|---|---|\n");
}

static void field(const char *name, const char *kind, const char *doc)
{
    printf("| `%s` | %s | ", name, kind);
    cell(doc);
    printf(" |\n");
}

#define F(kind, name, doc) field(#name, #kind, doc);
#define L(item, name, doc) field(#name, "list of [" #item "](#" #item ")", doc);

static void structs_print(void)
{
#define MESSAGE(name, number, channel, doc, fields)
#define STRUCT(name, doc, fields)                                                                  \
    printf("\n### %s\n", #name);                                                                   \
    sentence(doc);                                                                                 \
    fields_begin();                                                                                \
    fields
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
}

struct channel {
    const char *name, *text;
};

static const struct channel channels[] = {
    {"LINK", "both ways between node and head"},
    {"REFUSE", "head to node or driver, node to driver"},
    {"NODE_HEAD", "node to head"},
    {"HEAD_NODE", "head to node"},
    {"DRIVER_HEAD", "driver to head"},
    {"HEAD_DRIVER", "head to driver"},
    {"CLIENT_NODE", "driver or worker to node"},
    {"NODE_CLIENT", "node to driver or worker"},
    {"CLIENT_CLIENT", "driver or worker to driver or worker"},
    {"ZYGOTE_NODE", "zygote to node"},
    {"NODE_ZYGOTE", "node to zygote"},
};

static const char *channel_text(const char *name)
{
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++)
        if (strcmp(channels[i].name, name) == 0)
            return channels[i].text;
    return name;
}

static void message(const char *name, int number, const char *channel, const char *doc)
{
    printf("\n### %d %s\n*%s*. %s.\n", number, name, channel_text(channel), doc);
    fields_begin();
}

static void messages_print(int first, int last)
{
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    if (number >= first && number <= last) {                                                       \
        message(#name, number, #channel, doc);                                                     \
        fields                                                                                     \
    }
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
}

static void records_print(void)
{
#define RECORD(name, number, doc, fields, apply, load)                                             \
    printf("\n### record %d %s\n", number, #name);                                                 \
    sentence(doc);                                                                                 \
    fields_begin();                                                                                \
    fields
#include "head/records.def"
#undef RECORD
}

static void error(const char *name, int number, const char *kind, const char *text,
                  const char *advice)
{
    printf("| `MOB_%s` | %d | %s | ", name, number, kind);
    cell(text);
    printf(" | ");
    cell(advice);
    printf(" |\n");
}

static void errors_print(void)
{
    printf("| name | number | kind | text | advice |\n|---|---|---|---|---|\n");
#define ERROR(name, number, kind, text, advice) error(#name, number, #kind, text, advice);
#include "protocol/errors.def"
#undef ERROR
}

/* "ROLE_HEAD | ROLE_NODE" as "HEAD, NODE". */
static void roles_print(const char *roles)
{
    for (; *roles != '\0'; roles++) {
        if (strncmp(roles, "ROLE_", 5) == 0)
            roles += 5;
        if (strncmp(roles, " | ", 3) == 0) {
            printf(", ");
            roles += 2;
        } else {
            putchar(*roles);
        }
    }
}

/* "100 << 10" as 100K; what is no number as it stands. */
static void number_print(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    const char *shift = strstr(text, "<<");
    if (shift != NULL)
        value <<= strtoul(shift + 2, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-') {
        printf("%s", text);
        return;
    }
    unsigned unit = 0;
    for (; unit < 3 && value >= 1024 && value % 1024 == 0; unit++)
        value /= 1024;
    printf("%llu%.*s", value, unit != 0, &" KMG"[unit]);
}

static void setting(const char *const words[8])
{
    printf("| `%s` | %s | ", words[0], words[1]);
    roles_print(words[2]);
    printf(" | ");
    number_print(strcmp(words[3], "\"\"") == 0 ? "" : words[3]);
    printf(" | ");
    if (strcmp(words[4], "0") != 0 || strcmp(words[5], "0") != 0) {
        number_print(words[4]);
        printf(" to ");
        number_print(words[5]);
    }
    printf(" | %s | ", words[6]);
    cell(words[7]);
    printf(" |\n");
}

static void settings_print(void)
{
    printf("| name | kind | read by | default | range | unit | meaning "
           "|\n|---|---|---|---|---|---|---|\n");
#define SETTING(name, kind, roles, value, least, most, unit, text)                                 \
    setting((const char *const[8]){#name, #kind, #roles, #value, #least, #most, unit, text});
#include "protocol/settings.def"
#undef SETTING
}

/* A line of the template that stands for a table; false for any other. */
static bool insert(const char *line)
{
    int first, last;
    if (sscanf(line, "@messages %d %d", &first, &last) == 2)
        messages_print(first, last);
    else if (strcmp(line, "@structs\n") == 0)
        structs_print();
    else if (strcmp(line, "@records\n") == 0)
        records_print();
    else if (strcmp(line, "@errors\n") == 0)
        errors_print();
    else if (strcmp(line, "@settings\n") == 0)
        settings_print();
    else
        return false;
    return true;
}

int main(void)
{
    char line[1024];
    while (fgets(line, sizeof line, stdin) != NULL)
        if (!insert(line))
            fputs(line, stdout);
    return ferror(stdin) || fflush(stdout) != 0;
}
