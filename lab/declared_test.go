//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importHops makes settings out of exports.
func importHops(t *testing.T, l *Lab, program, name string, exports ...string) string {
	t.Helper()
	args := []string{"hops", "import", "--address", "198.18.0.20"}
	for i, export := range exports {
		args = append(args, l.File(fmt.Sprintf("%s-%d.export", name, i), export))
	}
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("hops import of\n%s\n%v", strings.Join(exports, "\n"), err)
	}
	return l.File(name+".yaml", string(out))
}

// agreements reads captures and returns what is said about what is declared, by
// configured name and server name.
func agreements(t *testing.T, program, config string, files map[string]string) map[string]string {
	t.Helper()
	args := append([]string{"read", "--quiet", "--format", "json", "--config", config}, slices.Sorted(maps.Values(files))...)
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("whoasked %s: %v", strings.Join(args, " "), err)
	}
	got := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		var v struct{ Kind, Name, SNI, Agreement string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v.Kind == "asker" {
			got[v.Name+" "+v.SNI] = v.Agreement
		}
	}
	return got
}

const elsewhere = ": not propagated yet, or another endpoint answers on this address"

// TestDeclaredNginx imports what a running nginx prints, changes one of its sites,
// and holds the import against what is then captured.
func TestDeclaredNginx(t *testing.T) {
	l := New(t, "nginx", "curl", "go")
	program := buildProgram(t, l)
	c := NewChain(t)
	l.Net = &Net{Client: c.Client, Server: c.Edge}
	site := func(name, listen, verify string) string {
		return fmt.Sprintf("server { listen %s; server_name %s; ssl_certificate %s; ssl_certificate_key %s;\n"+
			" ssl_verify_client %s; ssl_client_certificate %s; location / { return 200 ok; } }\n",
			listen, name, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, verify, l.PKI.ClientCA)
	}
	args := func(name, portal string) []string {
		conf := fmt.Sprintf("daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\n"+
			"events { worker_connections 64; }\nhttp { access_log off;\n", l.Dir)
		for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			conf += fmt.Sprintf("%s_temp_path %s/nginx-%s;\n", temp, l.Dir, temp)
		}
		conf += "include " + l.File(name+"-sites.conf", site(portalName, "443 ssl", portal)+
			// Its socket speaks TLS as the first one says so.
			site(shopName, "443", "off")+site("certs.contoso.test", "443 ssl", "optional")) + ";\n}\n"
		return []string{"-p", l.Dir, "-e", l.Dir + "/nginx.log", "-c", l.File(name+".conf", conf)}
	}
	before := l.start("nginx", args("before", "off")...)
	c.Edge.WaitListen(t, 443)
	export, err := c.Edge.Command("nginx", append([]string{"-T"}, args("before", "off")...)...).Output()
	if err != nil {
		t.Fatalf("nginx -T: %v", err)
	}
	config := importHops(t, l, program, "nginx", string(export))
	before.Stop()
	l.start("nginx", args("after", "optional")...)
	c.Edge.WaitListen(t, 443)

	visits := tour{visits: repeat(3, portalName, shopName, "certs.contoso.test", "198.18.0.20")}
	got := agreements(t, program, config, c.Record(l, "declared", func() { visits.walk(l, c) }))
	want := map[string]string{
		"nginx " + portalName:      "declared off, asked 3 of 3" + elsewhere,
		"nginx " + shopName:        "declared off, asked 0 of 3, as declared",
		"nginx certs.contoso.test": "declared optional, asked 3 of 3, as declared",
		"nginx ":                   "declared off by default, asked 3 of 3" + elsewhere,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q\nby\n%s", got, want, export)
	}
}

// TestDeclaredHAProxy imports the configurations of an edge that passes TLS through
// and of the hop behind it, which has since begun to ask at one of its addresses.
func TestDeclaredHAProxy(t *testing.T) {
	l := New(t, "haproxy", "curl", "go")
	program := buildProgram(t, l)
	c := NewChain(t)
	l.Net = &Net{Client: c.Client, Server: c.Edge}
	front := "listen edge\n bind 198.18.0.20:443\n mode tcp\n server a 198.18.1.30:443\n server b 198.18.1.31:443\n"
	middle := func(b string) string {
		return "frontend asks\n mode http\n bind 198.18.1.30:443" + l.asking() + page +
			"frontend changed\n mode http\n bind 198.18.1.31:443" + b + page
	}
	config := importHops(t, l, program, "haproxy", front+middle(l.silent()))
	c.HAProxy(l, c.Middle, "middle", middle(l.asking()), 443)
	c.HAProxy(l, c.Edge, "edge", front, 443)

	visits := tour{visits: repeat(6, portalName)}
	got := agreements(t, program, config, c.Record(l, "declared", func() { visits.walk(l, c) }))
	want := map[string]string{
		"edge " + portalName:    "declared passthrough, and so it does: who asked is behind it",
		"asks " + portalName:    "declared optional, asked 3 of 3, as declared",
		"changed " + portalName: "declared off, asked 3 of 3" + elsewhere,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// apimExport and gatewayExports are as az prints them; what an API Management and two
// Application Gateways are set to, of which the first passes TLS through.
const apimExport = `{"name": "apim", "type": "Microsoft.ApiManagement/service", "virtualNetworkType": "Internal",
 "privateIpAddresses": ["198.18.1.30"], "publicIpAddresses": ["198.19.1.7"], "sku": {"capacity": 1, "name": "Premium"},
 "hostnameConfigurations": [
  {"type": "Proxy", "hostName": "certs.contoso.test", "defaultSslBinding": true, "negotiateClientCertificate": true},
  {"type": "DeveloperPortal", "hostName": "portal.contoso.test", "defaultSslBinding": false, "negotiateClientCertificate": false},
  {"type": "Management", "hostName": "shop.contoso.test", "defaultSslBinding": false, "negotiateClientCertificate": null}]}`

const gatewayExports = `[{"name": "outer", "type": "Microsoft.Network/applicationGateways",
 "frontendIPConfigurations": [{"id": "/outer/frontendIPConfigurations/public", "name": "public", "publicIPAddress": {"id": "/publicIPAddresses/outer"}}],
 "frontendPorts": [{"id": "/outer/frontendPorts/p443", "name": "p443", "port": 443}],
 "listeners": [{"name": "all", "protocol": "Tcp", "frontendIPConfiguration": {"id": "/outer/frontendIPConfigurations/public"}, "frontendPort": {"id": "/outer/frontendPorts/p443"}}]},
{"name": "inner", "type": "Microsoft.Network/applicationGateways",
 "frontendIPConfigurations": [{"id": "/inner/frontendIPConfigurations/private", "name": "private", "privateIPAddress": "198.18.1.31"}],
 "frontendPorts": [{"id": "/inner/frontendPorts/p443", "name": "p443", "port": 443}],
 "httpListeners": [
  {"name": "a", "protocol": "Https", "hostName": "strict.fabrikam.test", "frontendIPConfiguration": {"id": "/inner/frontendIPConfigurations/private"},
   "frontendPort": {"id": "/inner/frontendPorts/p443"}, "sslProfile": {"id": "/inner/sslProfiles/strict"}},
  {"name": "b", "protocol": "Https", "hostName": "removed.fabrikam.test", "frontendIPConfiguration": {"id": "/inner/frontendIPConfigurations/private"},
   "frontendPort": {"id": "/inner/frontendPorts/p443"}, "sslProfile": {"id": "/inner/sslProfiles/strict"}},
  {"name": "c", "protocol": "Https", "hostNames": ["*.fabrikam.test"], "frontendIPConfiguration": {"id": "/inner/frontendIPConfigurations/private"},
   "frontendPort": {"id": "/inner/frontendPorts/p443"}, "sslProfile": {"id": "/inner/sslProfiles/lenient"}}],
 "sslProfiles": [
  {"id": "/inner/sslProfiles/strict", "name": "strict", "trustedClientCertificates": [{"id": "/inner/trustedClientCertificates/ca"}],
   "clientAuthConfiguration": {"verifyClientAuthMode": "Strict", "verifyClientCertIssuerDN": true}},
  {"id": "/inner/sslProfiles/lenient", "name": "lenient", "clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}]}]`

// TestDeclaredAzure holds what az exports of three resources against servers in their
// places, of which one of each kind does otherwise for one name.
func TestDeclaredAzure(t *testing.T) {
	l := New(t, "nginx", "haproxy", "curl", "go")
	program := buildProgram(t, l)
	c := NewChain(t)
	l.Net = &Net{Client: c.Client, Server: c.Middle}
	config := importHops(t, l, program, "azure", apimExport, gatewayExports)
	conf := fmt.Sprintf("daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\n"+
		"events { worker_connections 64; }\nhttp { access_log off; ssl_certificate %[2]s; ssl_certificate_key %[3]s; ssl_client_certificate %[4]s;\n"+
		"client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n",
		l.Dir, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, l.PKI.ClientCA)
	for _, s := range [][3]string{
		{"198.18.1.30", "certs.contoso.test", "optional"}, {"198.18.1.30", portalName, "optional"}, {"198.18.1.30", shopName, "off"},
		{"198.18.1.31", "strict.fabrikam.test", "on"}, {"198.18.1.31", "removed.fabrikam.test", "off"}, {"198.18.1.31", "*.fabrikam.test", "optional_no_ca"},
	} {
		conf += fmt.Sprintf("server { listen %s:443 ssl; server_name %s; ssl_verify_client %s; location / { return 200 ok; } }\n", s[0], s[1], s[2])
	}
	l.start("nginx", "-p", l.Dir, "-e", l.Dir+"/nginx.log", "-c", l.File("nginx.conf", conf+"}\n"))
	c.Middle.WaitListen(t, 443)
	c.HAProxy(l, c.Edge, "edge", "frontend edge\n bind 198.18.0.20:443\n tcp-request inspect-delay 5s\n tcp-request content accept if { req.ssl_hello_type 1 }\n"+
		" use_backend gateway if { req.ssl_sni -m end .fabrikam.test }\n default_backend apim\n"+
		"backend apim\n server a 198.18.1.30:443\nbackend gateway\n server b 198.18.1.31:443\n", 443)

	visits := tour{
		visits: repeat(2, portalName, shopName, "certs.contoso.test", "198.18.0.20", "strict.fabrikam.test", "removed.fabrikam.test", "other.fabrikam.test"),
		extra:  []string{"--cert", l.PKI.ClientRSA.Cert, "--key", l.PKI.ClientRSA.Key},
	}
	got := agreements(t, program, config, c.Record(l, "declared", func() { visits.walk(l, c) }))
	want := map[string]string{
		"apim " + portalName:          "declared off, asked 2 of 2" + elsewhere,
		"apim " + shopName:            "declared off, asked 0 of 2, as declared",
		"apim certs.contoso.test":     "declared optional, asked 2 of 2, as declared",
		"apim ":                       "declared optional by default, asked 2 of 2, as declared",
		"inner strict.fabrikam.test":  "declared required, asked 2 of 2, as declared",
		"inner removed.fabrikam.test": "declared required, asked 0 of 2" + elsewhere,
		"inner other.fabrikam.test":   "declared optional for *.fabrikam.test, asked 2 of 2, as declared",
	}
	for name, agreement := range maps.Clone(want) {
		_, sni, _ := strings.Cut(name, " ")
		want["outer "+sni] = "declared passthrough, and so it does: who asked is behind it"
		if strings.Contains(agreement, "asked 0 of") {
			want["outer "+sni] = "declared passthrough: what is seen here is from behind it"
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
