package attribute

import (
	"fmt"
	"slices"
)

// identityCauses are those of log-on services and of Windows.
func identityCauses() []CauseRow {
	const identity, windows = "Log-on services", "Windows"
	return []CauseRow{
		{
			ID: "entra-cba", Group: identity, Title: "Log-on with a certificate at Microsoft Entra ID, not your site",
			Who: "Microsoft Entra ID", Kinds: []string{"entra"}, Strength: Shown, Whens: []When{InHandshake},
			Hosts: []string{
				"certauth.login.microsoftonline.com", "t*.certauth.login.microsoftonline.com",
				"certauth.login.microsoftonline.us", "t*.certauth.login.microsoftonline.us",
			},
			Because: "Certificate-based authentication sends the browser to a host name that only exists to ask. With issuer hints, the name holds the tenant and the request names authorities.",
			Fix: []string{
				"Decide who signs on with certificates: Entra admin centre, Authentication methods, Certificate-based authentication, narrow its groups.",
				"Leave {host} out of TLS inspection; it cannot work there.",
			},
			Verify: "Sign on in a new private window as somebody outside of the groups. Changes to the trusted CAs take up to 10 minutes.",
			Source: "entra-docs: certificate-based authentication technical deep dive",
		}, {
			ID: "entra-device", Group: identity, Title: "Entra ID asks for the certificate of the device",
			Who: "Microsoft Entra ID", Hosts: []string{"device.login.microsoftonline.com", "device.login.microsoftonline.us"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Device-based conditional access proves the device by its certificate, issued by MS-Organization-Access. Browsers that are joined to the system's sign-on answer without a dialog.",
			Fix:     []string{"Give the browser the sign-on extension or policy of the platform, or AutoSelectCertificateForUrls for https://{host}."},
			Verify:  "Sign on again in a new browser session.", Source: "Microsoft Learn: Get-AdfsSslCertificate for the binding; that the host asks is not documented",
		}, {
			ID: "adfs-49443", Group: identity, Title: "AD FS asks on its own port for certificates",
			Who: "AD FS or its Web Application Proxy (http.sys)", Ports: []uint16{49443}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Where the service's certificate has no name certauth.<service name>, AD FS asks on port 49443.",
			Fix:     []string{"Turn certificate authentication off for where it is not wanted (AD FS management, Authentication Methods), separately for extranet and intranet."},
			Verify:  "Sign on again in a new browser session.", Source: "Microsoft Learn: Set-AdfsAlternateTlsClientBinding",
		}, {
			ID: "adfs-certauth", Group: identity, Title: "AD FS asks under its certauth name",
			Who: "AD FS or its Web Application Proxy (http.sys)", Kinds: []string{"adfs"}, Hosts: []string{"certauth.*"}, Whens: []When{InHandshake}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				return s.often(), !hostMatch("*.microsoftonline.*", s.SNI)
			},
			Because: "With the alternate binding, AD FS asks under certauth.<service name> on port 443.",
			Fix:     []string{"Turn certificate authentication off for where it is not wanted (AD FS management, Authentication Methods), separately for extranet and intranet."},
			Verify:  "Sign on again in a new browser session.", Source: "Microsoft Learn: Set-AdfsAlternateTlsClientBinding",
		}, {
			ID: "adfs-device", Group: identity, Title: "Device registration of AD FS asks",
			Who: "AD FS (http.sys)", Hosts: []string{"enterpriseregistration.*"}, Whens: []When{InHandshake}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				return s.often(), !hostMatch("*.windows.net", s.SNI)
			},
			Because: "The binding of EnterpriseRegistration takes its authorities from the store AdfsTrustedDevices.",
			Fix:     []string{"Where no device registers any more, turn device authentication off and remove the binding of {host}: Get-AdfsSslCertificate shows it."},
			Verify:  "netsh http show sslcert on the servers; then probe: whoasked probe {host}:{port}", Source: "Microsoft Learn: Get-AdfsSslCertificate",
		}, {
			ID: "uem-sso", Group: identity, Title: "Single sign-on by device management asks",
			Who: "the identity provider", Kinds: []string{"idp"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Certificate sign-on of device management (Workspace ONE and others) relies on a policy of the browser that answers for the person.",
			Fix:     []string{"Set the browser's policy AutoSelectCertificateForUrls for https://{host} on managed devices; it hides the dialog there."},
			Verify:  "chrome://policy shows it; then open {host} in a new browser session.", Source: "digitalworkspace.one, July 2021",
		}, {
			ID: "httpsys-binding", Group: windows, Title: "The binding of http.sys negotiates client certificates",
			Who: "http.sys", Kinds: []string{"iis", "httpsys"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "clientcertnegotiation=enable on a binding asks in every handshake, whatever path is called. Bindings of address and port answer clients whose name has no binding of its own.",
			Fix: []string{
				"On {name}: netsh http show sslcert, look for \"Negotiate Client Certificate : Enabled\" at {host}:{port} or {ip}:{port}.",
				"Delete that binding and add it again with clientcertnegotiation=disable.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}", Source: "netsh http show sslcert; Windows HTTP_SERVICE_CONFIG_SSL_FLAG",
		}, {
			ID: "iis-path", Group: windows, Title: "A site or path of IIS accepts or requires certificates",
			Who: "IIS (http.sys)", Kinds: []string{"iis", "httpsys"}, Whens: []When{InRenegotiation}, Strength: Likely,
			Because: "Without the binding's flag, SslNegotiateCert of a site or path makes TLS 1.2 renegotiate when that path is called. Over TLS 1.3 the same path ends in a reset (Windows Server 2022) or in HTTP status 500 (2025).",
			Fix: []string{
				"On {name}: IIS Manager, the site and path, SSL Settings, Client certificates: Ignore.",
				"If the path needs certificates, give it a host name of its own with clientcertnegotiation=enable on the binding.",
			},
			Verify: "Call that path with TLS 1.2 and HTTP/1.1 on a fresh connection.", Source: "techcommunity IIS support blog, August 2025",
		}, {
			ID: "httpsys-no-sni", Group: windows, Title: "http.sys answers clients without a server name by another binding",
			Who: "http.sys", Kinds: []string{"iis", "httpsys", "adfs"}, Whens: []When{InHandshake}, Strength: Guess,
			seen: func(s *suspect) (string, bool) {
				return fmt.Sprintf("asked without a server name, not asked under %s at the same address", names(s.clear)), s.Nameless() && len(s.clear) > 0
			},
			Because: "Clients without a server name, or with one that is not bound, get the binding of address and port, whose flags may differ.",
			Fix:     []string{"On {name}: netsh http show sslcert, and give the binding {ip}:{port} the flags of the host name's."},
			Verify:  "whoasked probe --name \"\" {address}", Source: "not documented; follows from how bindings are chosen",
		},
	}
}

// names lists the server names of a few askers.
func names(list []*Asker) string {
	var out []string
	for _, a := range list {
		if a.SNI != "" {
			out = append(out, a.SNI)
		}
	}
	slices.Sort(out)
	switch n := len(out); {
	case n == 0:
		return "no name"
	case n == 1:
		return out[0]
	case n > 2:
		return fmt.Sprintf("%s, %s and %d more", out[0], out[1], n-2)
	}
	return out[0] + " and " + out[1]
}
