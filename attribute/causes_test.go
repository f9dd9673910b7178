package attribute

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// asking is an asker for causes, described by options.
type asking func(*Asker)

func hour(h, m int) time.Time { return time.Date(2026, 1, 2, h, m, 0, 0, time.UTC) }

var (
	renegotiates asking = func(a *Asker) { a.Traits.Renegotiation, a.Traits.Handshake = a.Traits.Handshake, 0 }
	afterwards   asking = func(a *Asker) { a.Traits.Later, a.Traits.Handshake = a.Traits.Handshake, 0 }
	silent       asking = func(a *Asker) {
		a.NotAsked, a.Asked, a.Traits = a.Asked, 0, Traits{Clear13: a.Asked, Clients: a.Traits.Clients}
	}
	refused   asking = func(a *Asker) { a.Traits.Refused = a.Asked }
	elsewhere asking = func(a *Asker) { a.Addr = netip.MustParseAddrPort("198.18.0.21:443") }
	sixth     asking = func(a *Asker) { a.Addr = netip.MustParseAddrPort("[2001:db8::20]:443") }
	others    asking = func(a *Asker) { a.Traits.Clients = []netip.Addr{netip.MustParseAddr("198.18.1.20")} }
)

// crowd has more clients than are kept.
func crowd(a *Asker) {
	a.Traits.Clients = nil
	for i := range maxTraitNames {
		a.Traits.Clients = append(a.Traits.Clients, netip.AddrFrom4([4]byte{198, 18, 7, byte(i)}))
	}
}

func unread(a *Asker) { a.SNI, a.Unread = "", 1 }

func sni(name string) asking { return func(a *Asker) { a.SNI = name } }
func kind(k string) asking   { return func(a *Asker) { a.Hop = k } }
func port(p uint16) asking {
	return func(a *Asker) { a.Addr = netip.AddrPortFrom(a.Addr.Addr(), p) }
}
func traits(f func(*Traits)) asking { return func(a *Asker) { f(&a.Traits) } }
func counts(asked, clear, resumed int) asking {
	return func(a *Asker) { a.Asked, a.NotAsked, a.Resumed, a.Full = asked, clear, resumed, asked+clear }
}

// scene is one asker and those beside it.
type scene []asking

func (s scene) asker() Asker {
	a := Asker{
		Addr: netip.MustParseAddrPort("198.18.0.20:443"), SNI: "portal.contoso.test", Full: 4, Asked: 4,
		Traits: Traits{Handshake: 4, Asked13: 4, FirstAsked: hour(10, 0), LastAsked: hour(10, 30), Clients: []netip.Addr{netip.MustParseAddr("198.18.0.10")}},
	}
	for _, o := range s {
		o(&a)
	}
	return a
}

// kindsAsHops has a hop for each kind, called like it.
func kindsAsHops() Hops {
	var h Hops
	for _, r := range CauseRows() {
		for _, k := range r.Kinds {
			h = append(h, Hop{Name: k, Kind: k})
		}
	}
	return append(h, Hop{Name: "backend", Kind: "backend"})
}

// change makes a roll-out: asked up to 10:30, not asked from 10:40 on.
var change = traits(func(t *Traits) { t.FirstClear, t.LastClear = hour(10, 40), hour(11, 0) })
var mixed = traits(func(t *Traits) { t.FirstClear, t.LastClear = hour(10, 10), hour(10, 50) })

// causeCases has, for each row, a scene it is offered in and near misses it is
// not. The first asker of each is the one looked at.
var causeCases = map[string]struct{ fires, misses [][]scene }{
	"apim-hostname": {
		fires:  [][]scene{{{kind("apim")}}, {{sni("shop.azure-api.net")}}},
		misses: [][]scene{{{kind("backend")}}, {{kind("apim"), renegotiates}}, {{sni("azure-api.net.contoso.test")}}, {{kind("apim"), silent}}},
	},
	"apim-default-binding": {
		fires:  [][]scene{{{kind("apim"), sni("")}}},
		misses: [][]scene{{{kind("apim")}}, {{sni("")}}, {{kind("apim"), unread}}},
	},
	"apim-consumption": {fires: [][]scene{{{kind("apim-consumption")}}}, misses: [][]scene{{{kind("apim")}}}},
	"apim-self-hosted": {fires: [][]scene{{{kind("apim-self-hosted")}}}, misses: [][]scene{{{kind("apim")}}, {{kind("apim-self-hosted"), renegotiates}}}},
	"apim-renegotiation": {
		fires:  [][]scene{{{kind("apim"), renegotiates}}},
		misses: [][]scene{{{kind("apim")}}, {{kind("apim"), afterwards}}, {{renegotiates}}},
	},
	"appgw-client-auth":     {fires: [][]scene{{{kind("appgw")}}}, misses: [][]scene{{{kind("appgw"), renegotiates}}, {{kind("appgw"), refused}}, {{kind("apim")}}}},
	"frontdoor-mtls":        {fires: [][]scene{{{kind("frontdoor")}}, {{sni("a.azurefd.net")}}}, misses: [][]scene{{{sni("azurefd.net")}}, {{kind("frontdoor"), renegotiates}}}},
	"appservice-mode":       {fires: [][]scene{{{kind("appservice")}}, {{sni("A.azurewebsites.net.")}}}, misses: [][]scene{{{kind("appservice"), renegotiates}}, {{}}}},
	"appservice-paths":      {fires: [][]scene{{{kind("appservice"), renegotiates}}}, misses: [][]scene{{{kind("appservice")}}, {{renegotiates}}}},
	"containerapps-ingress": {fires: [][]scene{{{sni("a.region.azurecontainerapps.io")}}}, misses: [][]scene{{{sni("a.azurecontainerapps.test")}}}},

	"entra-cba": {
		fires:  [][]scene{{{sni("certauth.login.microsoftonline.com")}}, {{sni("t0123.certauth.login.microsoftonline.us")}}},
		misses: [][]scene{{{sni("login.microsoftonline.com")}}, {{sni("certauth.login.microsoftonline.com.contoso.test")}}},
	},
	"entra-device": {fires: [][]scene{{{sni("device.login.microsoftonline.com")}}}, misses: [][]scene{{{sni("device.contoso.test")}}}},
	"adfs-49443":   {fires: [][]scene{{{port(49443)}}}, misses: [][]scene{{{port(4943)}}, {{port(49443), kind("nginx")}}}},
	"adfs-certauth": {
		fires:  [][]scene{{{sni("certauth.sts.contoso.test")}}, {{kind("adfs")}}},
		misses: [][]scene{{{sni("certauth.login.microsoftonline.com")}}, {{sni("my-certauth.contoso.test")}}},
	},
	"adfs-device":     {fires: [][]scene{{{sni("enterpriseregistration.contoso.test")}}}, misses: [][]scene{{{sni("enterpriseregistration.windows.net")}}}},
	"uem-sso":         {fires: [][]scene{{{kind("idp")}}}, misses: [][]scene{{{}}}},
	"httpsys-binding": {fires: [][]scene{{{kind("iis")}}}, misses: [][]scene{{{kind("iis"), renegotiates}}}},
	"iis-path":        {fires: [][]scene{{{kind("iis"), renegotiates}}}, misses: [][]scene{{{kind("iis")}}, {{renegotiates}}}},
	"httpsys-no-sni": {
		fires:  [][]scene{{{kind("iis"), sni("")}, {silent}}},
		misses: [][]scene{{{kind("iis"), sni("")}}, {{kind("iis"), unread}, {silent}}, {{kind("iis")}, {sni(""), silent}}, {{kind("iis"), sni("")}, {silent, elsewhere}}},
	},

	"nginx-verify":           {fires: [][]scene{{{kind("nginx")}}}, misses: [][]scene{{{kind("haproxy")}}, {{kind("nginx"), refused}}, {{kind("nginx"), renegotiates}}}},
	"haproxy-verify":         {fires: [][]scene{{{kind("haproxy")}}}, misses: [][]scene{{{kind("nginx")}}}},
	"apache-vhost":           {fires: [][]scene{{{kind("apache")}}}, misses: [][]scene{{{kind("apache"), afterwards}}}},
	"apache-location":        {fires: [][]scene{{{kind("apache"), afterwards}}, {{kind("apache"), renegotiates}}}, misses: [][]scene{{{kind("apache")}}}},
	"tomcat-want":            {fires: [][]scene{{{kind("tomcat")}}}, misses: [][]scene{{{port(8443)}}}},
	"traefik-options":        {fires: [][]scene{{{kind("traefik")}}}, misses: [][]scene{{{kind("ingress")}}}},
	"ingress-nginx-auth-tls": {fires: [][]scene{{{kind("ingress-nginx")}}}, misses: [][]scene{{{kind("nginx")}}}},
	"envoy-trusted-ca": {
		fires: [][]scene{{{kind("envoy")}}, {{kind("istio"), traits(func(t *Traits) { t.Legible, t.Nameless = 2, 2 })}}},
		// No authorities alone is no sign of Envoy: others do so, too.
		misses: [][]scene{{{traits(func(t *Traits) { t.Legible, t.Nameless = 2, 2 })}}},
	},
	"kube-apiserver":       {fires: [][]scene{{{port(6443)}}, {{kind("kubernetes")}}}, misses: [][]scene{{{port(6444)}}, {{port(6443), renegotiates}}}},
	"tyk-listener":         {fires: [][]scene{{{kind("tyk")}}}, misses: [][]scene{{{kind("apim")}}}},
	"f5-clientssl":         {fires: [][]scene{{{kind("f5")}}}, misses: [][]scene{{{kind("f5"), renegotiates}}}},
	"f5-on-demand":         {fires: [][]scene{{{kind("f5"), renegotiates}}}, misses: [][]scene{{{kind("f5")}}}},
	"netscaler-clientauth": {fires: [][]scene{{{kind("netscaler")}}}, misses: [][]scene{{{kind("netscaler"), renegotiates}}}},
	"netscaler-policy":     {fires: [][]scene{{{kind("netscaler"), renegotiates}}}, misses: [][]scene{{{kind("netscaler"), afterwards}}}},
	"webseal-prompt":       {fires: [][]scene{{{kind("webseal"), renegotiates}}}, misses: [][]scene{{{renegotiates}}}},
	"explicit-proxy":       {fires: [][]scene{{{kind("client-proxy")}}}, misses: [][]scene{{{port(3128)}}}},
	"aws-alb":              {fires: [][]scene{{{kind("alb")}}}, misses: [][]scene{{{kind("nlb")}}}},
	"aws-nlb":              {fires: [][]scene{{{kind("nlb")}}}, misses: [][]scene{{{kind("alb")}}}},
	"aws-cloudfront":       {fires: [][]scene{{{sni("d1.cloudfront.net")}}}, misses: [][]scene{{{sni("cloudfront.net")}}}},

	"per-name": {
		fires: [][]scene{{{}, {sni("api.contoso.test"), silent}}},
		misses: [][]scene{
			{{}}, {{}, {sni("api.contoso.test"), silent, elsewhere}}, {{}, {sni("api.contoso.test")}},
			{{counts(4, 1, 0)}, {sni("api.contoso.test"), silent}}, {{}, {sni(""), silent}},
		},
	},
	"by-path": {fires: [][]scene{{{renegotiates}}, {{afterwards}}}, misses: [][]scene{{{}}}},
	"no-sni":  {fires: [][]scene{{{sni("")}, {silent}}}, misses: [][]scene{{{sni("")}}, {{}, {sni(""), silent}}, {{unread}, {silent}}}},

	"unnamed-product": {
		fires:  [][]scene{{{}}, {{counts(4, 0, 2)}}, {{sni("")}}},
		misses: [][]scene{{{kind("apim")}}, {{kind("backend")}}, {{sni("shop.azure-api.net")}}, {{renegotiates}}, {{}, {silent, elsewhere}}, {{port(0)}}},
	},
	"resumption":    {fires: [][]scene{{{counts(4, 0, 2)}}}, misses: [][]scene{{{}}}},
	"cached-choice": {fires: [][]scene{{{traits(func(t *Traits) { t.Unshown = 1 })}}}, misses: [][]scene{{{traits(func(t *Traits) { t.Without = 4 })}}}},
	"rollout": {
		fires:  [][]scene{{{counts(4, 4, 0), change}}, {{counts(3, 3, 0), traits(func(t *Traits) { t.FirstClear, t.LastClear = hour(9, 0), hour(9, 59) })}}},
		misses: [][]scene{{{counts(4, 2, 0), change}}, {{counts(4, 4, 0), mixed}}, {{}}},
	},
	"uneven-pool": {
		fires:  [][]scene{{{counts(4, 4, 0), mixed}}},
		misses: [][]scene{{{counts(4, 4, 0), change}}, {{counts(4, 2, 0), mixed}}, {{counts(4, 4, 0), mixed, traits(func(t *Traits) { t.Clear12 = 4 })}}},
	},
	"uneven-addresses": {
		fires:  [][]scene{{{}, {silent, elsewhere}}, {{}, {silent, sixth, others}}, {{crowd}, {crowd, silent, elsewhere}}},
		misses: [][]scene{{{}, {elsewhere}}, {{}, {silent, elsewhere, sni("api.contoso.test")}}, {{}, {silent, elsewhere, counts(0, 0, 4)}}, {{}, {silent, elsewhere, others}}, {{others}, {crowd, silent, elsewhere}}},
	},
	"tls12-only": {
		fires: [][]scene{{{traits(func(t *Traits) { t.Asked12, t.Asked13, t.Clear13 = 4, 0, 5 })}}},
		misses: [][]scene{
			{{traits(func(t *Traits) { t.Asked12, t.Asked13, t.Clear13 = 4, 1, 5 })}},
			{{traits(func(t *Traits) { t.Asked12, t.Asked13, t.Clear13 = 4, 0, 2 })}},
		},
	},
	"inspection-bypass": {
		fires: [][]scene{{{traits(func(t *Traits) { t.AskedIssuers, t.ClearIssuers = []string{"CN=Public"}, []string{"CN=Inspection"} })}}},
		misses: [][]scene{
			{{traits(func(t *Traits) { t.AskedIssuers, t.ClearIssuers = []string{"CN=Public"}, []string{"CN=Public"} })}},
			{{traits(func(t *Traits) { t.AskedIssuers = []string{"CN=Public"} })}},
		},
	},
	"h2-coalescing": {
		fires: [][]scene{{{}, {sni("www.contoso.test"), silent, traits(func(t *Traits) { t.H2, t.Names = 2, []string{"*.contoso.test"} })}}},
		misses: [][]scene{
			{{}, {sni("www.contoso.test"), silent, traits(func(t *Traits) { t.Names = []string{"*.contoso.test"} })}},
			{{}, {sni("www.contoso.test"), silent, traits(func(t *Traits) { t.H2, t.Names = 2, []string{"www.contoso.test"} })}},
			{{sni("a.b.contoso.test")}, {sni("www.contoso.test"), silent, traits(func(t *Traits) { t.H2, t.Names = 2, []string{"*.contoso.test"} })}},
		},
	},
	"subresource": {
		fires:  [][]scene{{{traits(func(t *Traits) { t.Aside, t.Pages = 1, []string{"www.contoso.test"} })}}},
		misses: [][]scene{{{}}},
	},
}

func explained(scenes []scene) []Cause {
	var askers []Asker
	for _, s := range scenes {
		askers = append(askers, s.asker())
	}
	Explain(askers, kindsAsHops())
	return askers[0].Causes
}

func offers(causes []Cause, id string) bool {
	return slices.ContainsFunc(causes, func(c Cause) bool { return c.ID == id })
}

// TestCauses: every row is offered on its pattern, and not on a near miss.
func TestCauses(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range CauseRows() {
		if seen[r.ID] {
			t.Errorf("%s: two rows", r.ID)
		}
		seen[r.ID] = true
		c := causeCases[r.ID]
		if len(c.fires) == 0 || len(c.misses) == 0 {
			t.Errorf("%s: want a case it is offered in and a near miss", r.ID)
		}
		for i, s := range c.fires {
			if got := explained(s); !offers(got, r.ID) {
				t.Errorf("%s, case %d: not offered, but %v", r.ID, i, ids(got))
			}
		}
		for i, s := range c.misses {
			if offers(explained(s), r.ID) {
				t.Errorf("%s, near miss %d: offered", r.ID, i)
			}
		}
	}
	for id := range causeCases {
		if !seen[id] {
			t.Errorf("%s: a case without a row", id)
		}
	}
}

func ids(causes []Cause) []string {
	var out []string
	for _, c := range causes {
		out = append(out, c.ID)
	}
	return out
}

// TestCauseRows: what a row tells is complete, and nothing stays unfilled.
func TestCauseRows(t *testing.T) {
	for _, r := range CauseRows() {
		if r.Title == "" || r.Group == "" || r.Who == "" || r.Because == "" || len(r.Fix) == 0 || r.Verify == "" || r.Source == "" {
			t.Errorf("%s: something is missing: %+v", r.ID, r)
		}
		if r.seen == nil && len(r.Kinds)+len(r.Hosts)+len(r.Ports) == 0 {
			t.Errorf("%s: fits everywhere", r.ID)
		}
		for _, s := range causeCases[r.ID].fires {
			for _, c := range explained(s) {
				if text := c.Why + c.Verify + strings.Join(c.Fix, ""); strings.ContainsAny(text, "{}") && !strings.Contains(text, "{listeners:") {
					t.Errorf("%s: not filled: %s", c.ID, text)
				}
			}
		}
	}
}

// TestCauseRank: a configured kind comes before what the capture shows, and a
// guess last.
func TestCauseRank(t *testing.T) {
	got := explained([]scene{{kind("apim"), counts(4, 0, 1)}, {sni("api.contoso.test"), silent}})
	if want := []string{"apim-hostname", "per-name", "resumption"}; !slices.Equal(ids(got), want) {
		t.Errorf("got %v, want %v", ids(got), want)
	}
	if !strings.Contains(got[0].Fix[0], "portal.contoso.test") || !strings.Contains(got[0].Verify, "--address 198.18.0.20 portal.contoso.test:443") {
		t.Errorf("not filled from the capture: %+v", got[0])
	}
}

// TestCauseSeveralMachines: an uneven pool is told with what shows that it is one.
func TestCauseSeveralMachines(t *testing.T) {
	signs := func(kind string) func(*Asker) {
		return func(a *Asker) { a.Signs = []Sign{{"round-trip", "far"}, {kind, "two of them"}} }
	}
	for kind, want := range map[string]bool{"clock": true, "certificate": true, "timestamps": false} {
		got := explained([]scene{{counts(4, 4, 0), mixed, signs(kind)}})
		i := slices.IndexFunc(got, func(c Cause) bool { return c.ID == "uneven-pool" })
		if i < 0 || strings.HasSuffix(got[i].Why, "; two of them") != want {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

// TestPassesNoCause: who passes TLS through has nothing to change.
func TestPassesNoCause(t *testing.T) {
	got := explained([]scene{{kind("apim"), func(a *Asker) { a.Passes = a.Asked }}})
	if len(got) > 0 {
		t.Errorf("got %v", ids(got))
	}
}

// TestCauseIf: where the asker may be another behind the address, a fix says so.
func TestCauseIf(t *testing.T) {
	several := func(a *Asker) { a.Several = true }
	at := func(a *Asker) { a.Place = At }
	behind := func(a *Asker) { a.Place = Behind }
	for _, tt := range []struct {
		name string
		scene
		want string
	}{
		{"one address alone", scene{counts(4, 0, 1)}, ""},
		{"one of several", scene{counts(4, 0, 1), several}, "198.18.0.20:443 asks itself. If it passes TLS through, "},
		{"which is known to ask", scene{counts(4, 0, 1), several, at}, ""},
		{"which is declared to pass TLS through", scene{counts(4, 0, 1), several, behind}, ""},
	} {
		a := tt.asker()
		s := &suspect{Asker: &a}
		for _, c := range s.causes(CauseRows()) {
			if c.If != tt.want && (tt.want == "" || !strings.HasPrefix(c.If, tt.want)) {
				t.Errorf("%s: %s: %q, want %q", tt.name, c.ID, c.If, tt.want)
			}
		}
		if len(s.causes(CauseRows())) == 0 {
			t.Errorf("%s: no cause", tt.name)
		}
	}
}

// TestFillIsSafe: what the wire says gets into a command only if it is a name.
func TestFillIsSafe(t *testing.T) {
	for _, tt := range []struct{ sni, want string }{
		{"www.contoso.test", "probe www.contoso.test:443"},
		{"", "probe 198.18.0.20:443"},
		{"a; reboot", "probe HOST:443"},
		{"$(id).azure-api.net", "probe HOST:443"},
		{"--help", "probe HOST:443"},
	} {
		a := scene{sni(tt.sni)}.asker()
		if got := (&suspect{Asker: &a}).fill("probe {host}:{port}"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.sni, got, tt.want)
		}
	}
}
