package attribute

import "fmt"

// proxyCauses are those of web servers, proxies and gateways that people run.
func proxyCauses() []CauseRow {
	const proxies, mesh, devices = "Servers and proxies", "Kubernetes and meshes", "Load balancers and gateways"
	return []CauseRow{
		{
			ID: "nginx-verify", Group: proxies, Title: "nginx asks in one of its server blocks",
			Who: "nginx", Kinds: []string{"nginx"}, Whens: []When{InHandshake}, Strength: Likely,
			seen:    lenient,
			Because: "ssl_verify_client asks for each of on, optional and optional_no_ca, and it is the server block chosen by the server name that counts; the default one answers clients without a name.",
			Fix:     []string{"On {name}: nginx -T, find the server block with server_name {host} (or the default_server of port {port}) and set ssl_verify_client off; nginx -s reload."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "nginx source: ngx_http_request.c, ngx_event_openssl.c",
		}, {
			ID: "haproxy-verify", Group: proxies, Title: "A bind line of HAProxy asks",
			Who: "HAProxy", Kinds: []string{"haproxy"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "verify optional and verify required both ask, on a bind line or for names of a crt-list. With no-ca-names the request names no authority.",
			Fix:     []string{"On {name}: the bind line of port {port}, or the line for {host} in its crt-list: verify none; then reload."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "HAProxy configuration manual: verify, no-ca-names",
		}, {
			ID: "apache-vhost", Group: proxies, Title: "A virtual host of Apache asks",
			Who: "Apache httpd", Kinds: []string{"apache"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "SSLVerifyClient in a virtual host asks in the handshake for each of optional, optional_no_ca and require.",
			Fix:     []string{"On {name}: set SSLVerifyClient none in the <VirtualHost> with ServerName {host}, and reload."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "measured with Apache httpd 2.4",
		}, {
			ID: "apache-location", Group: proxies, Title: "A directory or location of Apache asks",
			Who: "Apache httpd", Kinds: []string{"apache"}, Whens: []When{InRenegotiation, AfterHandshake}, Strength: Likely,
			Because: "SSLVerifyClient in a <Location> or <Directory> can only ask once the path is known: by renegotiation up to TLS 1.2, by post-handshake authentication in TLS 1.3, which browsers do not offer, so that they get HTTP status 403 (AH10158).",
			Fix: []string{
				"On {name}: find SSLVerifyClient inside <Location> or <Directory> and remove it.",
				"If that path needs certificates, move it to a virtual host with a name of its own.",
			},
			Verify: "Call that path with TLS 1.2 and HTTP/1.1 on a fresh connection.", Source: "measured with Apache httpd 2.4",
		}, {
			ID: "tomcat-want", Group: proxies, Title: "Tomcat or another Java server wants a certificate",
			Who: "the Java server (JSSE)", Kinds: []string{"tomcat", "java"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "certificateVerification optional, or clientAuth want, asks in the handshake as required does.",
			Fix:     []string{"On {name}: in server.xml, the connector of port {port}: certificateVerification=\"none\"."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "measured with OpenJDK 17",
		}, {
			ID: "traefik-options", Group: mesh, Title: "TLS options of Traefik ask",
			Who: "Traefik", Kinds: []string{"traefik"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Options are chosen by server name. Routers of one host that name different options make Traefik use the default ones for it.",
			Fix: []string{
				"On {name}: find tls.options with clientAuth that a router of {host} uses, or the default ones, and remove clientAuth.",
				"Give all routers of {host} the same options; the log says where they conflict.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}", Source: "traefik/traefik issues 5553 and 10530",
		}, {
			ID: "ingress-nginx-auth-tls", Group: mesh, Title: "An Ingress turns client certificates on for the whole host",
			Who: "ingress-nginx", Kinds: []string{"ingress-nginx", "ingress"}, Whens: []When{InHandshake}, Strength: Likely,
			seen:    lenient,
			Because: "The annotations auth-tls-* of one Ingress apply to its host, also for the paths that other Ingresses add. TLS knows no paths.",
			Fix: []string{
				"kubectl get ingress -A -o yaml, look for nginx.ingress.kubernetes.io/auth-tls-verify-client and auth-tls-secret at host {host}, and remove them.",
				"If one path needs certificates, give it a host of its own.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}", Source: "kubernetes/ingress-nginx issues 3964 and 7133",
		}, {
			ID: "envoy-trusted-ca", Group: mesh, Title: "Envoy asks because a trusted CA is configured",
			Who: "Envoy, or what is built on it (Istio, Pomerium)", Kinds: []string{"envoy", "istio", "mesh", "pomerium"}, Whens: []When{InHandshake}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				if s.Traits.Legible == 0 {
					return s.often(), true
				}
				return fmt.Sprintf("%d of %s named no authority, as is usual for Envoy", s.Traits.Nameless, plural(s.Traits.Legible, "legible request")), true
			},
			Because: "A validation context with a trusted CA makes Envoy ask even if require_client_certificate is false. As it names no authorities, browsers offer every certificate they have.",
			Fix: []string{
				"On {name}: in the filter chain that matches server name {host}, remove validation_context (or combined_validation_context) from the DownstreamTlsContext.",
				"Istio: the Gateway's tls mode for {host} MUTUAL or OPTIONAL_MUTUAL becomes SIMPLE.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}", Source: "envoyproxy/envoy issues 17224, 17348 and 30091; pomerium/pomerium issue 4151",
		}, {
			ID: "kube-apiserver", Group: mesh, Title: "The Kubernetes API server asks everybody",
			Who: "kube-apiserver", Kinds: []string{"kubernetes"}, Ports: []uint16{6443}, Hosts: []string{"kubernetes.default.svc", "*.azmk8s.io"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "With --client-ca-file the API server requests a certificate and lets other ways of log-on pass without one.",
			Fix:     []string{"Do not send browsers there: publish the page behind an ingress or kubectl proxy. The API server's own setting should stay."},
			Verify:  "whoasked probe the name that browsers use afterwards.", Source: "Kubernetes: --client-ca-file; the asking itself is a hypothesis",
		}, {
			ID: "tyk-listener", Group: devices, Title: "The Tyk gateway asks for all APIs of a listener",
			Who: "Tyk gateway", Kinds: []string{"tyk"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "In older releases mutual TLS of one API made the listener ask for all of them.",
			Fix:     []string{"Update {name}, or give the API with mutual TLS a domain of its own."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "TykTechnologies/tyk issue 1381",
		}, {
			ID: "f5-clientssl", Group: devices, Title: "The client SSL profile of BIG-IP asks",
			Who: "F5 BIG-IP", Kinds: []string{"f5"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Client Certificate set to request or require asks in the handshake, by virtual server and server name.",
			Fix:     []string{"On {name}: the clientssl profile of the virtual server at {address} (by SNI {host}), Client Certificate: ignore."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "F5 DevCentral: Client SSL Authentication on BIG-IP",
		}, {
			ID: "f5-on-demand", Group: devices, Title: "On-Demand Certificate Authentication of BIG-IP APM asks in a session",
			Who: "F5 BIG-IP APM", Kinds: []string{"f5"}, Whens: []When{InRenegotiation, AfterHandshake}, Strength: Likely,
			Because: "The access policy renegotiates when it comes to that item.",
			Fix:     []string{"On {name}: take On-Demand Cert Auth out of the access policy of {host}, or its branch."},
			Verify:  "Log on again in a new browser session.", Source: "F5 TechDocs: On-Demand Cert Auth",
		}, {
			ID: "netscaler-clientauth", Group: devices, Title: "The virtual server of NetScaler asks",
			Who: "NetScaler", Kinds: []string{"netscaler"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "clientAuth enabled on the virtual server or its SSL profile asks, mandatory or optional.",
			Fix:     []string{"On {name}: set ssl vserver NAME -clientAuth DISABLED (or in its SSL profile) for {address}."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "Citrix documentation; the setting itself is a hypothesis",
		}, {
			ID: "netscaler-policy", Group: devices, Title: "A policy of NetScaler asks",
			Who: "NetScaler", Kinds: []string{"netscaler"}, Whens: []When{InRenegotiation}, Strength: Likely,
			Because: "The action DOCLIENTAUTH renegotiates for requests that match. It does not support TLS 1.3.",
			Fix:     []string{"On {name}: unbind the SSL policy with the action DOCLIENTAUTH from the virtual server at {address}, or narrow its rule."},
			Verify:  "Call a path that matched, with TLS 1.2, on a fresh connection.", Source: "docs.citrix.com: built-in SSL actions",
		}, {
			ID: "webseal-prompt", Group: devices, Title: "WebSEAL prompts as needed",
			Who: "IBM WebSEAL", Kinds: []string{"webseal"}, Whens: []When{InRenegotiation, InHandshake}, Strength: Likely,
			Because: "With prompt_as_needed a browser may be asked several times, as it keeps and reuses connections.",
			Fix:     []string{"On {name}: use a separate port for log-on with certificates, or accept-client-certs = never."},
			Verify:  "Log on again in a new browser session.", Source: "IBM: WebSEAL cert-prompt-max-tries",
		}, {
			ID: "explicit-proxy", Group: devices, Title: "The browser's own proxy asks",
			Who: "the explicit HTTPS proxy", Kinds: []string{"client-proxy"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "TLS to an explicit proxy can be asked as any other; the dialog then names the proxy's host and port, not the site's. An inspecting proxy asks in the name of the site.",
			Fix:     []string{"On {name}: turn client certificates off for the proxy listener at {address}, or give managed browsers AutoSelectCertificateForUrls for it."},
			Verify:  "Open any site through the proxy in a new browser session.", Source: "CefSharp: RequestHandler.OnSelectClientCertificate, isProxy",
		},
	}
}

// cloudCauses are those of other clouds.
func cloudCauses() []CauseRow {
	const aws = "AWS"
	return []CauseRow{
		{
			ID: "aws-alb", Group: aws, Title: "The listener of an Application Load Balancer asks",
			Who: "AWS Application Load Balancer", Kinds: []string{"alb"}, Hosts: []string{"*.elb.amazonaws.com"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Mutual authentication in mode passthrough asks as verify does; verify can name the authorities of its trust store.",
			Fix:     []string{"aws elbv2 modify-listener --listener-arn ARN --mutual-authentication Mode=off for the listener behind {host}."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "AWS documentation: mutual authentication with TLS in Application Load Balancer",
		}, {
			ID: "aws-nlb", Group: aws, Title: "The TLS listener of a Network Load Balancer asks",
			Who: "AWS Network Load Balancer", Kinds: []string{"nlb"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "A TLS listener with mutual authentication in mode verify ends TLS and asks; a TCP listener never does.",
			Fix:     []string{"aws elbv2 modify-listener --listener-arn ARN --mutual-authentication Mode=off for the listener behind {host}."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "AWS documentation: mutual authentication in Network Load Balancer",
		}, {
			ID: "aws-cloudfront", Group: aws, Title: "CloudFront asks viewers",
			Who: "the edge of CloudFront", Kinds: []string{"cloudfront"}, Hosts: []string{"*.cloudfront.net"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Viewer mutual TLS is a setting of a distribution; required, optional and passthrough all ask.",
			Fix:     []string{"Turn viewer mTLS off in the distribution that serves {host}; its connection logs show who was asked."},
			Verify:  "Wait until the distribution is deployed, then probe from several networks: whoasked probe {host}:{port}", Source: "AWS documentation: CloudFront mTLS validation modes, connection logs",
		},
	}
}

// lenient fits what never ends TLS for want of a certificate: nginx answers with
// HTTP status 400 instead.
func lenient(s *suspect) (string, bool) { return s.often(), s.Traits.Refused == 0 }
