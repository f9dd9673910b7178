package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whoasked/capture/relay/inspect"
)

const caHelp = `ca init makes a certificate authority for whoasked relay --inspect, which ends TLS
on purpose. Its certificate is limited to the domains given, and the names below
them, to servers, and to a few days; a client that trusts it trusts nothing else
by it.

Who has its key can pass for a server of these domains to who trusts it. Have
only clients trust it that you test with, and take it back when you are done.`

func newCA(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make an authority for relay --inspect",
		Long:  caHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return withHint(fmt.Errorf("unknown command %q", "whoasked ca "+args[0]), "did you mean whoasked ca init?")
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var names []string
	var dir string
	var days int
	create := &cobra.Command{
		Use:     "init --name DOMAIN",
		Short:   "Make an authority that is limited to domains",
		Long:    caHelp,
		Example: `  whoasked ca init --name contoso.test --name portal.fabrikam.test --out contoso-ca`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return initCA(cmd.OutOrStdout(), names, dir, days)
		},
	}
	f := create.Flags()
	f.StringSliceVar(&names, "name", nil, "let it issue for `DOMAIN` and the names below (may be repeated)")
	f.StringVar(&dir, "out", "whoasked-ca", "write it to `FOLDER`")
	f.IntVar(&days, "days", 30, "let it be valid for `N` days, 1 to 398")
	cmd.AddCommand(create)
	return cmd
}

func initCA(out io.Writer, names []string, dir string, days int) error {
	switch {
	case len(names) == 0:
		return withHint(errors.New("no --name given"), "name the domains that you want to look into, such as --name contoso.test")
	case days < 1 || days > 398:
		return errors.New("--days takes a whole number from 1 to 398")
	}
	ca, err := inspect.NewCA(names, time.Now(), time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	if err := ca.Save(dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return withHint(err, "an authority is there already, and is not written over; take another folder with --out")
		}
		return err
	}
	cert := filepath.Join(dir, inspect.CertFile)
	_, err = fmt.Fprintf(out, caMade, strings.Join(ca.Cert.PermittedDNSDomains, ", "), ca.Cert.NotAfter.UTC().Format(time.DateOnly),
		cert, filepath.Join(dir, inspect.KeyFile), ca.Fingerprint(), ca.Cert.Subject.CommonName, dir, strings.Join(ca.Cert.PermittedDNSDomains, ","))
	return err
}

// caMade has its arguments in the order: domains, date, certificate, key,
// fingerprint, name, folder, domains with commas.
const caMade = `An authority for %[1]s and the names below, until %[2]s:
  %[3]s  certificate, for clients to trust
  %[4]s  key, for this machine only
  SHA-256 %[5]s

Use it:
  whoasked relay --inspect %[8]s --ca %[7]s ...

Trust it for one program:
  curl --cacert %[3]s ...
  SSL_CERT_FILE=%[3]s PROGRAM     programs on OpenSSL and Go, on Linux
  NODE_EXTRA_CA_CERTS=%[3]s node ...
  Firefox: Settings, Certificates, Authorities, Import
Trust it on a test machine, and take that back:
  Debian   sudo cp %[3]s /usr/local/share/ca-certificates/whoasked.crt && sudo update-ca-certificates
           sudo rm /usr/local/share/ca-certificates/whoasked.crt && sudo update-ca-certificates --fresh
  Windows  certutil -user -addstore Root %[3]s
           certutil -user -delstore Root "%[6]s"
  macOS    security add-trusted-cert -r trustRoot -p ssl %[3]s
           security remove-trusted-cert %[3]s && security delete-certificate -c "%[6]s"
When done, remove %[7]s; its key cannot be had again.
`
