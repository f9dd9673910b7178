package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"whoasked/config"
	"whoasked/declared"
)

const importHelp = `import reads what operators can export about endpoints, and prints hops for
whoasked.yaml: names, addresses, host names, and what is declared about client
certificates, which answers are then held against. It calls nobody. The name -
stands for standard input. Known are:

  az apim show, az apim list
  az network application-gateway show and list; the same from az rest
  nginx -T
  a HAProxy configuration

With --merge it prints that file with the hops put into it: hops that it has keep
their names and all they are told by, other settings and comments stay.

What is missing from an export is told on standard error.`

func newHops(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hops",
		Short: "Name endpoints by what their configurations declare",
		Args:  rootlessArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHopsImport(t))
	return cmd
}

// rootlessArgs refuses words that are no command below this one.
func rootlessArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return withHint(fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0]), "did you mean %s import?", cmd.CommandPath())
}

// importing are the flags of hops import.
type importing struct {
	merge, output string
	addresses     []string
	quiet         bool
}

func newHopsImport(t *terminal) *cobra.Command {
	var f importing
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Make hops out of exports of Azure, nginx and HAProxy",
		Long:  importHelp,
		Example: `  az apim show -g GROUP -n NAME | whoasked hops import - > whoasked.yaml
  whoasked hops import --merge whoasked.yaml --output whoasked.yaml appgw.json
  nginx -T | whoasked hops import --address 198.18.0.20 -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return withHint(errors.New("no export given"), "name one or more files, or - for standard input; see whoasked hops import --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			t.quiet = f.quiet
			return f.run(t, args)
		},
	}
	cmd.Flags().StringVar(&f.merge, "merge", "", "put the hops into the settings of `FILE`")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "write to `FILE`, which appears when all is written")
	cmd.Flags().StringSliceVar(&f.addresses, "address", nil, "the machine has `ADDRESS`: for servers that listen at every address")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "tell nothing of what is missing")
	must(cmd.MarkFlagFilename("merge", "yaml", "yml"))
	must(cmd.MarkFlagFilename("output"))
	return cmd
}

func (f *importing) run(t *terminal, names []string) error {
	var machine []netip.Addr
	for _, s := range f.addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return withHint(fmt.Errorf("--address: %q is not an IP address", s), "such as 198.18.0.20")
		}
		machine = append(machine, a.Unmap())
	}
	var hops []config.Import
	used := make(map[string]bool)
	for _, name := range names {
		data, shown, err := readExport(name)
		if err != nil {
			return err
		}
		export, err := declared.Read(shown, data, machine)
		if err != nil {
			return withHint(fmt.Errorf("%s: %w", shown, err), "whoasked hops import --help lists what can be read")
		}
		for _, n := range export.Notes {
			t.warn(n.Place + ": " + n.Text)
		}
		if len(export.Hops) == 0 {
			t.warn(fmt.Sprintf("%s: %s, but no TLS endpoint in it", shown, export.Kind))
		}
		for _, h := range export.Hops {
			own := h.Name
			for n := 2; used[h.Name]; n++ {
				h.Name = fmt.Sprintf("%s-%d", own, n)
			}
			used[h.Name] = true
			hops = append(hops, config.Import{Hop: h.Hop, From: h.From})
		}
	}
	text, err := f.compose(t, hops)
	if err != nil {
		return err
	}
	return f.write(text, names)
}

// compose makes the file.
func (f *importing) compose(t *terminal, hops []config.Import) (string, error) {
	if f.merge == "" {
		return config.HopsFile(hops), nil
	}
	file, err := os.Open(f.merge)
	if err != nil {
		return "", withHint(fmt.Errorf("--merge: %w", err), "leave it out to begin a new file")
	}
	defer file.Close()
	old, err := readBounded(file)
	if err != nil {
		return "", fmt.Errorf("--merge: %s: %w", f.merge, err)
	}
	text, changes, err := config.MergeHops(f.merge, old, hops)
	if err == nil {
		for _, c := range changes {
			t.note(f.merge + ": " + c)
		}
	}
	return text, err
}

func (f *importing) write(text string, inputs []string) error {
	out, err := openOutput(f.output, inputs)
	if err != nil {
		return err
	}
	defer out.discard()
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("cannot write the hops: %w", err)
	}
	return out.commit()
}

// readExport reads a file or standard input, and says what to call it.
func readExport(name string) (data []byte, shown string, err error) {
	if name == stdinName {
		if isTerminal(os.Stdin) {
			return nil, "", withHint(errors.New("standard input is a terminal"), "pipe an export in, for instance: nginx -T | whoasked hops import -")
		}
		data, err = readBounded(os.Stdin)
		return data, "standard input", err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	data, err = readBounded(file)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return data, name, err
}

// readBounded reads one byte more than can be an export, so that Read can say so.
func readBounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, declared.MaxBytes+1))
}
