package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"whoasked/capture/file"
	"whoasked/config"
)

// hinted is an error with a word on what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// withHint adds a hint to an error.
func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// splitHint parts an error of package file from the hint in its text.
func splitHint(err error) error {
	var e *file.Error
	if !errors.As(err, &e) || e.Hint == "" {
		return err
	}
	bare := *e
	bare.Hint = ""
	return hinted{&bare, e.Hint}
}

// hintOf returns the hint that an error carries, or one that its cause
// suggests; empty for none.
func hintOf(err error) string {
	var carrier interface{ Hint() string }
	if errors.As(err, &carrier) && carrier.Hint() != "" {
		return carrier.Hint()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the spelling, and the directory you are in"
	case errors.Is(err, fs.ErrPermission):
		return "captures often belong to root; change the owner, or pipe the file in: sudo cat FILE | whoasked read -"
	case errors.Is(err, syscall.EISDIR):
		return "name the files in it, for instance DIR/*.pcap"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full; choose another place with --output"
	}
	return ""
}

// flagError explains a flag that could not be taken.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := config.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			return withHint(err, "did you mean --%s?", near)
		}
	}
	return withHint(err, "see %s --help", cmd.CommandPath())
}

// rootArgs takes no arguments: what is not a command is a mistake to explain.
func rootArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := config.Nearest(args[0], known); near != "" {
		return withHint(err, "did you mean whoasked %s?", near)
	}
	if _, statErr := os.Stat(args[0]); statErr == nil || args[0] == "-" {
		return withHint(err, "to read a capture: whoasked read %s", strings.Join(args, " "))
	}
	return withHint(err, "see whoasked --help")
}

// noArgs is cobra.NoArgs in the words of this program.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return withHint(fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]), "see %s --help", cmd.CommandPath())
	}
	return nil
}
