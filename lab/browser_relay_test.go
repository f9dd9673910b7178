//go:build linux

package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// relayedVisit is a dialog that a browser shows through a way into the relay.
type relayedVisit struct {
	way    string
	key    string // that ends the dialog
	verify string // what nginx then says of the certificate
}

func (v relayedVisit) name() string { return v.way + ".contoso.test" }

// outcome is what has to be told of the dialog.
func (v relayedVisit) outcome() string { return pick(v.key == "Return", "certificate", "cancelled") }

func relayedVisits() (all []relayedVisit) {
	for i, w := range relayWays() {
		all = append(all, relayedVisit{w.name, pick(i%2 == 0, "Return", "Escape"), pick(i%2 == 0, "SUCCESS", "NONE")})
	}
	return all
}

// TestBrowserRelay has a browser show a dialog through every way into the relay,
// one after the other: the relay has to tell of each what was on the screen, and
// what read tells from the captures on either side of it.
func TestBrowserRelay(t *testing.T) {
	Need(t, "go")
	program := theProgram(t)
	for _, b := range Browsers() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			l := newRelayLab(t, append(b.Tools(), "nginx", "nft", "curl")...)
			l.program, l.ports = program, []int{portalPort}
			f := families()[0]
			b.Names = map[string]netip.Addr{start: f.router}
			l.names[start] = f.server
			groups := [][]string{{start}}
			for _, v := range relayedVisits() {
				groups = append(groups, []string{v.name()})
				l.names[v.name()] = f.server
				b.Names[v.name()] = pick(v.way == "fixed" || v.way == "sni", f.router, f.server)
			}
			cas, ids := l.sitePKI(groups...)
			var sites []Site
			for i, g := range groups {
				sites = append(sites, Site{Name: g[0], Mode: pick(i == 0, NotAsked, Optional), Identity: ids[i], Fresh: true})
			}
			st := &story{Lab: l.With(t), b: b, screen: l.NewScreen(), site: l.ServeSites("TLSv1.2 TLSv1.3", cas, sites...)}
			l.browse(t, st, f)
		})
	}
}

// browse goes through all ways and compares.
func (l *relayLab) browse(t *testing.T, st *story, f family) {
	t.Helper()
	client := StartBulkCapture(t, l.Net.Client, Device, filepath.Join(l.Dir, "relayed-client.pcap"))
	server := StartBulkCapture(t, l.Net.Server, Device, filepath.Join(l.Dir, "relayed-server.pcap"))
	got := &Answers{Connections: map[string][]map[string]any{}, Notes: map[string]int64{}}
	began := time.Now()
	var browser *Process
	for _, turned := range []string{"", "redirect", "tproxy"} {
		var settings []string
		for _, w := range relayWays() {
			if w.turns == (turned != "") && (turned == "" || w.name == turned) {
				settings = append(settings, l.settingsOf(w, f)...)
			}
		}
		r := l.relay("browsed-"+pick(turned == "", "said", turned), turned != "", settings...)
		st.told = func() *Answers { return ReadAnswers(t, r.path) }
		if browser == nil {
			st.b.PAC = l.autoConfig(f)
			browser = st.b.Visit(st.Lab, st.screen, "https://"+start+"/", l.PKI.ClientRSA)
			st.waitServed(t, Request{SNI: start, Path: storyPage, Verify: "NONE"}, began)
		}
		for _, v := range relayedVisits() {
			if turns := v.way == "redirect" || v.way == "tproxy"; turns == (turned != "") && (turned == "" || v.way == turned) {
				st.open(t, v.name()+pick(v.way == "sni", fmt.Sprintf(":%d", portalPort+sniOffset), ""), func(time.Time) bool { return st.screen.Dialog(t) })
				st.end(t, storySeen{sni: v.name(), outcome: v.outcome()}, v.key, Request{SNI: v.name(), Path: storyPage, Verify: v.verify})
			}
		}
		if turned == "tproxy" {
			browser.Stop()
		}
		if !l.Net.Client.WaitQuiet(t, time.Minute) {
			t.Error("connections stay open")
		}
		got.add(r.stop())
	}
	t.Logf("%d dialogs in %.1f s", len(st.seen), time.Since(began).Seconds())
	client.Stop(t)
	server.Stop(t)
	front, behind := ReadCapture(t, l.program, client.Path), ReadCapture(t, l.program, server.Path)
	t.Logf("connections as read tells them on either side: %v", sameAsRead(t, got, front, behind))
	for name, a := range map[string]*Answers{"the relay": got, "in front": front, "behind": behind} {
		checkRelayed(t, name, st, a)
	}
	got.samePrompts(t, "the relay", front, "asked_by", "nth") // each relay counts by itself, and in front each way has an address
	got.samePrompts(t, "the relay", behind, "client", "nth")
}

// autoConfig leads the names of proxies to them: that of CONNECT by the script
// that the relay itself serves.
func (l *relayLab) autoConfig(f family) string {
	l.T.Helper()
	served := run(l.T, l.Net.Client, "curl", "-sS", "--noproxy", "*", fmt.Sprintf("http://%s/proxy.pac", netip.AddrPortFrom(f.router, connectPort)))
	return strings.Replace(served, "FindProxyForURL", "served", 1) + fmt.Sprintf(`function FindProxyForURL(url, host) {
  if (host == "connect.contoso.test") return served(url, host);
  if (host == "socks5.contoso.test") return "SOCKS5 %s";
  return "DIRECT";
}
`, netip.AddrPortFrom(f.router, socksPort))
}

// add takes in the answers of another run.
func (a *Answers) add(b *Answers) {
	maps.Copy(a.Connections, b.Connections)
	a.Prompts = append(a.Prompts, b.Prompts...)
	slices.SortStableFunc(a.Prompts, func(x, y map[string]any) int {
		return strings.Compare(fmt.Sprint(x["opened"]), fmt.Sprint(y["opened"]))
	})
}

// checkRelayed holds the dialogs told against those on the screen.
func checkRelayed(t *testing.T, name string, st *story, a *Answers) {
	t.Helper()
	const clock = 10 * time.Millisecond
	shown := slices.DeleteFunc(slices.Clone(a.Prompts), func(p map[string]any) bool { return p["outcome"] == "none-shown" })
	if len(shown) != len(st.seen) {
		t.Errorf("%s: prompts %v, want %+v", name, a.Prompts, st.seen)
		return
	}
	for i, p := range shown {
		want := st.seen[i]
		opened, closed := promptTime(t, p, "opened"), promptTime(t, p, "closed")
		if p["sni"] != want.sni || p["outcome"] != want.outcome || opened.After(want.seen.Add(clock)) || closed.Before(want.ended.Add(-clock)) || closed.After(want.served.Add(nginxLag)) {
			t.Errorf("%s: prompt %v, want %+v", name, p, want)
		}
	}
}
