//go:build linux

package lab

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Browser is one row of the table of browsers.
type Browser struct {
	Name string
	// Holds: the connection that asked is kept open behind the dialog and carries
	// the answer. Otherwise it is dropped, and the answer comes on a new one.
	Holds bool

	// PAC is a proxy auto-configuration script; empty for no proxies.
	PAC string
	// Names are where host names lead to; nil for those of the sites, which lead to
	// the server.
	Names map[string]netip.Addr

	program string
	// profile prepares a profile in home and returns the arguments that use it; pac
	// is the URL of a script, or empty.
	profile func(l *Lab, home, pac string, ids []Identity) []string
}

// Browsers returns the browsers that can show a dialog.
func Browsers() []Browser {
	return []Browser{
		{Name: "chromium", program: "chromium", profile: chromiumProfile},
		{Name: "firefox", program: "firefox-esr", Holds: true, profile: firefoxProfile},
	}
}

// Tools are the programs that a visit needs.
func (b Browser) Tools() []string {
	return []string{b.program, "Xvfb", "xdotool", "certutil", "pk12util", "mount", "sh"}
}

// Visit starts the browser on a screen with a page. Its profile is new, trusts
// the server CA, and holds identities to choose from.
func (b Browser) Visit(l *Lab, s *Screen, url string, ids ...Identity) *Process {
	l.T.Helper()
	home, err := os.MkdirTemp(l.Dir, b.Name)
	if err != nil {
		l.T.Fatal(err)
	}
	pac := ""
	if b.PAC != "" {
		pac = "data:application/x-ns-proxy-autoconfig;base64," + base64.StdEncoding.EncodeToString([]byte(b.PAC))
	}
	args := append(b.profile(l, home, pac, ids), url)
	// ip netns exec gives each command mounts of its own, so that names can be
	// resolved there by a file that nobody else sees.
	names := fmt.Sprintln("127.0.0.1 localhost")
	for name, addr := range b.Names {
		names += fmt.Sprintln(addr, name)
	}
	if b.Names == nil {
		names += fmt.Sprintln(l.Net.Server.Addr, portal, api, start, wiki, vault, news, cdn)
	}
	hosts := l.File("hosts", names)
	cmd := l.Net.Client.Command("sh", append([]string{"-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts, b.program}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home,
		"DISPLAY="+s.Display, "LANG=C.UTF-8", "SSLKEYLOGFILE="+l.KeyLog())
	return Start(l.T, cmd)
}

func chromiumProfile(l *Lab, home, pac string, ids []Identity) []string {
	l.PKI.NSS(l.T, filepath.Join(home, ".pki", "nssdb"), nil, ids...)
	proxy := "--no-proxy-server"
	if pac != "" {
		proxy = "--proxy-pac-url=" + pac
	}
	return []string{
		proxy,
		"--no-sandbox", // it does not run as root otherwise
		"--test-type",  // no bar that warns of --no-sandbox
		"--user-data-dir=" + filepath.Join(home, "chromium"),
		"--password-store=basic", "--no-first-run", "--no-default-browser-check", "--disable-default-apps",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
		"--window-position=0,0",
	}
}

// firefoxPrefs keep Firefox from greeting people, and have it ask.
const firefoxPrefs = `user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.preonboarding.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.bypassNotification", true);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("security.default_personal_cert", "Ask Every Time");
user_pref("security.osclientcerts.autoload", false);
user_pref("termsofuse.bypassNotification", true);
`

func firefoxProfile(l *Lab, home, pac string, ids []Identity) []string {
	dir := filepath.Join(home, "firefox")
	l.PKI.NSS(l.T, dir, nil, ids...)
	prefs := firefoxPrefs
	if pac != "" {
		prefs += fmt.Sprintf("user_pref(\"network.proxy.type\", 2);\nuser_pref(\"network.proxy.autoconfig_url\", %q);\n", pac)
	}
	if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(prefs), 0o644); err != nil {
		l.T.Fatal(err)
	}
	return []string{"--no-remote", "--profile", dir}
}
