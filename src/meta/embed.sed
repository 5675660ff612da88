# schema.sql -> the elements of a C array of strings, one for each statement.
/^--/d
/^$/d
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
/;$/{
s/$/\\n",/
b
}
s/$/\\n"/
