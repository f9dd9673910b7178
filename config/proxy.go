package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Via is an upstream proxy; the zero value stands for none.
type Via struct {
	SOCKS bool   // SOCKS version 5; else HTTP
	At    string // HOST:PORT
}

func (v Via) String() string {
	switch {
	case v.At == "":
		return ""
	case v.SOCKS:
		return "socks5://" + v.At
	}
	return "http://" + v.At
}

// unrepeated is an error about a value that is not shown, as there may be a
// password in it.
type unrepeated struct{ error }

// via reads the URL of a proxy.
func via(raw any) (Via, error) {
	s, ok := word(raw)
	if ok && s == "" {
		return Via{}, nil
	}
	u, err := url.Parse(s)
	if ok && err == nil && u.User != nil {
		return Via{}, unrepeated{errors.New("want no name and password in the URL, which others on this machine can see; --via-login reads them from a file")}
	}
	if !ok || err != nil || u.Scheme != "http" && u.Scheme != "socks5" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Via{}, unrepeated{errors.New("want http://HOST:PORT or socks5://HOST:PORT")}
	}
	if _, port, ok := hostPort(u.Host); !ok || port == 0 {
		return Via{}, unrepeated{errors.New("want http://HOST:PORT or socks5://HOST:PORT")}
	}
	return Via{SOCKS: u.Scheme == "socks5", At: u.Host}, nil
}

// maxLogin bounds a file with a name and a password.
const maxLogin = 4 << 10

// ReadLogin reads USER:PASSWORD from the first line of a file or, with env: in
// front, from an environment variable. Errors tell nothing of what is there.
func ReadLogin(where string) (user, password string, err error) {
	var text string
	if name, ok := strings.CutPrefix(where, "env:"); ok {
		if text, ok = os.LookupEnv(name); !ok {
			return "", "", fmt.Errorf("the environment variable %s is not set", name)
		}
	} else {
		b, err := os.ReadFile(where)
		if err != nil {
			return "", "", err
		}
		text = string(b)
	}
	if len(text) > maxLogin {
		return "", "", fmt.Errorf("%s is too long for USER:PASSWORD", where)
	}
	text, _, _ = strings.Cut(text, "\n")
	user, password, ok := strings.Cut(strings.TrimSuffix(text, "\r"), ":")
	if !ok || user == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\r' }) {
		return "", "", fmt.Errorf("%s does not hold USER:PASSWORD", where)
	}
	return user, password, nil
}
