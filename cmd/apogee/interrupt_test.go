//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterrupt: a command that is interrupted ends with 130 and leaves nothing, wherever it stands: in the simulator, which can be
// cancelled, or waiting for a pipe, which cannot.
func TestInterrupt(t *testing.T) {
	good(t)
	if err := syscall.Mkfifo("pipe.mg", 0o600); err != nil {
		t.Fatal(err)
	}
	// Signals that come before or after Main listens must not end the test.
	ignored := make(chan os.Signal, 100)
	signal.Notify(ignored, os.Interrupt)
	defer signal.Stop(ignored)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"on a chip", []string{"generate", "ckpt", "--target", "ascend-910b", "--tokens", "0,4,12", "-n", "100000"}},
		{"on the reference", []string{"generate", "ckpt", "--target", "reference", "--tokens", "0,4,12", "-n", "100000"}},
		{"opening a pipe", []string{"compile", "pipe.mg", "--target", "ascend-910b", "-o", "out.plan"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			type result struct {
				code      int
				out, errs string
			}
			end := make(chan result, 1)
			go func() {
				code, out, errs := apogee(c.args...)
				end <- result{code, out, errs}
			}()
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			limit := time.After(time.Minute)
			for {
				select {
				case <-tick.C:
					if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
						t.Fatal(err)
					}
					continue
				case <-limit:
					t.Fatal("the command does not stop")
				case r := <-end:
					if r.code != exitInterrupted || r.out != "" || !strings.HasSuffix(r.errs, "apogee: interrupted\n") {
						t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errs)
					}
				}
				break
			}
			noTemporaries(t, ".")
			if list, _ := filepath.Glob("out*"); len(list) > 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}
