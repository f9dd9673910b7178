package capture

import "strconv"

// Plural writes a number and, behind it, the words for one or for several.
func Plural(n int64, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + several
}
