package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"apogee/targets/chip"
	"apogee/targets/chips"
)

func init() {
	register(&command{
		name: "completion", args: "bash|zsh|fish", short: "Print a completion script for a shell",
		example: "  source <(apogee completion bash)\n  apogee completion fish > ~/.config/fish/completions/apogee.fish",
		setup: func(*pflag.FlagSet) func(context.Context, *app, []string) error {
			return func(_ context.Context, a *app, args []string) error {
				shell, err := one(args, "shell")
				if err != nil {
					return err
				}
				switch shell {
				case "bash":
					fmt.Fprint(a.out, bashCompletion())
				case "zsh":
					fmt.Fprint(a.out, "autoload -U +X bashcompinit && bashcompinit\n"+bashCompletion())
				case "fish":
					fmt.Fprint(a.out, fishCompletion())
				default:
					return usagef("no completion for %q; there is bash, zsh and fish", shell)
				}
				return nil
			}
		},
	})
}

func flagsOf(c *command) []string {
	f := flagSet(c)
	c.setup(f)
	var out []string
	f.VisitAll(func(x *pflag.Flag) { out = append(out, "--"+x.Name) })
	return out
}

func bashCompletion() string {
	var names []string
	var cases strings.Builder
	for _, c := range commands {
		names = append(names, c.name)
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", c.name, strings.Join(flagsOf(c), " "))
	}
	return fmt.Sprintf(`_apogee() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W %q -- "$cur")); return; fi
  case $prev in
    --target|--from|show) COMPREPLY=($(compgen -W %q -- "$cur") $(compgen -f -X '!*.chip' -- "$cur")); return ;;
    --precision) COMPREPLY=($(compgen -W %q -- "$cur")); return ;;
    --emit) COMPREPLY=($(compgen -W "ast ir fused plan" -- "$cur")); return ;;
  esac
  case ${COMP_WORDS[1]} in
%s  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -o filenames -F _apogee apogee
`, strings.Join(names, " "), strings.Join(append(chips.List(), referenceTarget), " "),
		"auto "+strings.Join(chip.PrecisionNames, " "), cases.String())
}

func fishCompletion() string {
	var s strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&s, "complete -c apogee -n __fish_use_subcommand -a %s -d %q\n", c.name, c.short)
		f := flagSet(c)
		c.setup(f)
		f.VisitAll(func(x *pflag.Flag) {
			fmt.Fprintf(&s, "complete -c apogee -n '__fish_seen_subcommand_from %s' -l %s -d %q\n", c.name, x.Name, x.Usage)
		})
	}
	fmt.Fprintf(&s, "complete -c apogee -l target -x -a %q\n", strings.Join(append(chips.List(), referenceTarget), " "))
	return s.String()
}
