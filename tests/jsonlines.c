/* jsonlines.c -- checks what `clattn ... --json` prints: each line of standard input must be one JSON value, an
 * object or an array of objects, and every object must have exactly the members that the arguments name.
 * Prints the number of lines. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_object(const json_t *object, int count, char **names)
{
    if (!json_is_object(object)) {
        fprintf(stderr, "not an object\n");
        return 0;
    }
    for (int i = 0; i < count; i++)
        if (!json_object_get(object, names[i])) {
            fprintf(stderr, "%s is missing\n", names[i]);
            return 0;
        }
    if (json_object_size(object) == (size_t)count) return 1;
    fprintf(stderr, "%zu members, expected %d\n", json_object_size(object), count);
    return 0;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0, i;
    int lines = 0;
    for (; getline(&line, &size, stdin) > 0; lines++) {
        json_error_t e;
        json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, &e), *one;
        if (!value) {
            fprintf(stderr, "line %d: %s\n", lines + 1, e.text);
            return 1;
        }
        if (json_is_array(value)) {
            json_array_foreach(value, i, one)
                if (!check_object(one, argc - 1, argv + 1)) return 1;
        } else if (!check_object(value, argc - 1, argv + 1)) {
            return 1;
        }
        json_decref(value);
    }
    free(line);
    printf("%d\n", lines);
    return 0;
}
