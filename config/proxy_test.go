package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "login")
	t.Setenv("LOGIN", "eve:s3:cret")
	if user, password, err := ReadLogin("env:LOGIN"); err != nil || user != "eve" || password != "s3:cret" {
		t.Errorf("%q, %q, %v", user, password, err)
	}
	if _, _, err := ReadLogin("env:NO_SUCH_LOGIN"); err == nil {
		t.Error("a variable that is not set was read")
	}
	for text, good := range map[string]bool{
		"eve:s3:cret": true, "eve:s3:cret\r\nmore": true, "eve:s3:cret\n": true,
		"": false, "s3:\tcret": false, "s3cret": false, ":s3cret": false, "eve:" + strings.Repeat("s3cret", maxLogin): false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		user, password, err := ReadLogin(file)
		if (err == nil) != good || good && (user != "eve" || password != "s3:cret") || err != nil && strings.Contains(err.Error(), "s3") {
			t.Errorf("%.20q: %q, %q, %v", text, user, password, err)
		}
	}
}
