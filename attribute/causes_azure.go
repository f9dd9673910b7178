package attribute

import "fmt"

// azureCauses are those of services of Azure.
func azureCauses() []CauseRow {
	const azure = "Azure"
	apimHosts := []string{"*.azure-api.net"}
	return []CauseRow{
		{
			ID: "apim-hostname", Group: azure, Title: "API Management asks on one of its host names",
			Who: "the gateway of API Management that owns the host name", Kinds: []string{"apim"}, Hosts: apimHosts,
			Whens: []When{InHandshake}, Strength: Likely,
			Because: "Each host name of an instance has a switch of its own, negotiateClientCertificate, off by default. While it is on, the gateway asks in every full handshake under that name, whatever the API's policies do. Gateway, portal and management names share an address, so that the name decides.",
			Fix: []string{
				"In the instance behind {name}, open Custom domains, choose {host}, clear \"Negotiate client certificate\" and save. In a template: the entry of hostnameConfigurations with hostName {host}, negotiateClientCertificate: false.",
				"APIs that need client certificates: give them a host name of their own, with the switch on, and move their callers there first.",
			},
			Verify: "Saving takes 15 minutes or more to reach every machine, and the Developer tier is down meanwhile. Then ask with fresh connections until all answer alike: whoasked probe --watch 30s --address {ip} {host}:{port}",
			Source: "Microsoft Learn: hostnameConfiguration (@azure/arm-apimanagement); azure-docs configure-custom-domain.md",
		}, {
			ID: "apim-default-binding", Group: azure, Title: "API Management answers clients without a server name with its default binding",
			Who: "the gateway of API Management", Kinds: []string{"apim"}, Whens: []When{InHandshake}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				return s.often() + " in which the client sent no server name", s.Nameless()
			},
			Because: "A client that sends no server name (SNI) gets the host name flagged defaultSslBinding, with its negotiateClientCertificate.",
			Fix: []string{
				"Have the client, often a health probe or one that dials an address, send the server name.",
				"Or flag another gateway host name of {name} as the default SSL binding, one that has negotiateClientCertificate off.",
			},
			Verify: "whoasked probe --name \"\" {address}",
			Source: "Microsoft Learn: hostnameConfiguration, defaultSslBinding",
		}, {
			ID: "apim-consumption", Group: azure, Title: "API Management, Consumption tier, wants a certificate for each request",
			Who: "the gateway of API Management", Kinds: []string{"apim-consumption"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "In the Consumption tier the switch is one of the whole service, enableClientCertificate.",
			Fix:     []string{"Set enableClientCertificate of the service to false (portal: Custom domains, Request client certificate)."},
			Verify:  "whoasked probe --watch 30s {host}:{port}", Source: "Azure SDK for .NET: ApiManagementServicePatch.EnableClientCertificate",
		}, {
			ID: "apim-self-hosted", Group: azure, Title: "A self-hosted gateway of API Management asks",
			Who: "the gateway container", Kinds: []string{"apim-self-hosted"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "A self-hosted gateway has host name configurations of its own, each with negotiateClientCertificate; those of the service do not count for it.",
			Fix:     []string{"In the host name configuration of {host} of that gateway, set negotiateClientCertificate to false."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "Az PowerShell: New-AzApiManagementGatewayHostnameConfiguration",
		}, {
			ID: "apim-renegotiation", Group: azure, Title: "A policy of API Management reads the client's certificate",
			Who: "the gateway of API Management", Kinds: []string{"apim"}, Hosts: apimHosts, Whens: []When{InRenegotiation}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				return fmt.Sprintf("asked in a renegotiation on %s", plural(s.Traits.Renegotiation, "connection")), s.Traits.Renegotiation > 0
			},
			Because: "A policy that reads context.Request.Certificate used to make the gateway renegotiate once it knew the request, which only TLS 1.2 and HTTP/1.1 can. The portal page Protocols + ciphers lists which operations did so lately.",
			Fix: []string{
				"Remove what reads context.Request.Certificate from the policies of the operations called at {host}.",
				"Or turn negotiateClientCertificate on for a host name that only these callers use, so that they are asked in the handshake.",
			},
			Verify: "Call the same operation with TLS 1.2 and HTTP/1.1 on a fresh connection and capture that.",
			Source: "azure-docs api-management-howto-mutual-certificates-for-clients.md; Protocols + ciphers",
		}, {
			ID: "appgw-client-auth", Group: azure, Title: "A listener of Application Gateway asks",
			Who: "Application Gateway", Kinds: []string{"appgw"}, Whens: []When{InHandshake}, Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				text := s.often()
				if s.Traits.Refused > 0 { // neither mode ends TLS for want of a certificate
					return "", false
				}
				if s.Traits.Legible > 0 && s.Traits.Nameless == s.Traits.Legible {
					return text + ", without naming an authority: rather mode passthrough, which needs no CA and which the portal does not show", true
				}
				if n := len(s.Traits.Authorities); n > 0 {
					text += ", naming " + s.Traits.Authorities[0] + ": compare with the client CAs of the SSL profile"
				}
				return text, true
			},
			Because: "Mutual authentication belongs to an SSL profile, which listeners refer to. Strict has client CAs and answers whom it does not trust with HTTP status 400; passthrough asks and lets everybody on, needs no CA, and is set by the ARM API only (2025-03-01).",
			Fix: []string{
				"Find the listener of {name} for {host} and its SSL profile: az network application-gateway show -g GROUP -n GATEWAY --query \"{listeners:httpListeners, profiles:sslProfiles}\"",
				"Take the client authentication out of that profile, or the profile off the listener; passthrough by the ARM API.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}: none of the connections may be asked.",
			Source: "Microsoft Learn: Application Gateway mutual authentication overview, and its troubleshooting",
		}, {
			ID: "frontdoor-mtls", Group: azure, Title: "Front Door asks on a custom domain",
			Who: "the edge of Front Door", Kinds: []string{"frontdoor", "cdn"}, Hosts: []string{"*.azurefd.net"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Mutual TLS is a setting of a custom domain, mtlsSettings; the modes that validate only if presented, and that pass all through, ask as well.",
			Fix:     []string{"Remove mtlsSettings from the custom domain {host} of the profile, or turn its mode off."},
			Verify:  "The edge is many sites: probe from several networks. whoasked probe --watch 30s {host}:{port}",
			Source:  "Microsoft Learn: Front Door TLS policy; Azure SDK for .NET: FrontDoorCustomDomainMtlsSettings",
		}, {
			ID: "appservice-mode", Group: azure, Title: "App Service asks: client certificate mode Require or Allow",
			Who: "the front end of App Service", Kinds: []string{"appservice"}, Hosts: []string{"*.azurewebsites.net"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "Required and Optional both ask in the handshake, of browsers too. The app gets the certificate in the header X-ARR-ClientCert.",
			Fix:     []string{"Set the client certificate mode of the app at {host} to Ignore: az webapp update -g GROUP -n APP --set clientCertEnabled=false"},
			Verify:  "whoasked probe {host}:{port}", Source: "azure-docs app-service-web-configure-tls-mutual-auth.md",
		}, {
			ID: "appservice-paths", Group: azure, Title: "App Service asks on some paths only: exclusion paths, or Optional Interactive User",
			Who: "the front end of App Service", Kinds: []string{"appservice"}, Hosts: []string{"*.azurewebsites.net"}, Whens: []When{InRenegotiation}, Strength: Likely,
			Because: "With an exclusion path, or in the mode Optional Interactive User, the request is read first and TLS 1.2 renegotiated then. TLS 1.3 and HTTP/2 do not work with it, and requests with a body of more than 100 KB fail.",
			Fix: []string{
				"Remove the exclusion paths of the app at {host}, or set its mode to Ignore.",
				"If some paths need certificates, give them an app with a host name of its own.",
			},
			Verify: "Call a path that is excluded and one that is not, with TLS 1.2, on fresh connections.", Source: "azure-docs app-service-web-configure-tls-mutual-auth.md",
		}, {
			ID: "containerapps-ingress", Group: azure, Title: "The ingress of Container Apps asks",
			Who: "the Envoy ingress of Container Apps", Kinds: []string{"containerapps"}, Hosts: []string{"*.azurecontainerapps.io"}, Whens: []When{InHandshake}, Strength: Likely,
			Because: "clientCertificateMode is require, accept or ignore. Ignore is documented as dropping the certificate, not as never asking; and a name can be asked from outside and not from a machine in Azure.",
			Fix:     []string{"Set clientCertificateMode of the app's ingress to ignore, then probe {host} again from outside of Azure."},
			Verify:  "whoasked probe {host}:{port}, from outside and from a machine in Azure",
			Source:  "Microsoft Learn: Container Apps client certificate authorization; microsoft/azure-container-apps issue 880",
		},
	}
}
