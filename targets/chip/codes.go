package chip

import "apogee/ir/diag"

// Example is a small chip that is complete and passes [Check]. The examples of the codes extend it under the
// name "example", and `apogee chip new` can start from it.
const Example = `chip "example" {
  doc      "A made-up accelerator with one of everything."
  vendor   "Nobody"
  year     2025      assumed "it does not exist"
  family   decoupled

  sources {
    sheet published "the made-up data sheet"
  }

  clock    1 GHz     source sheet
  cores    4         source sheet
  launch   5 us      source sheet
  barrier  2 us      source sheet
  subnormals keep

  sync {
    latency 20 cycles source sheet
    signal  "set"
    wait    "wait"
    barrier "sync_all"
    launch  "run"
  }

  memory gm {
    scope     card
    role      global
    size      16 GiB    source sheet
    bandwidth 400 GB/s  source sheet
    align     32 B      source sheet
  }
  memory l1 {
    scope core
    role  scratch, matrix_a, matrix_b, accumulator, vector
    size  1 MiB   source sheet
    align 32 B    source sheet
  }

  engine dma {
    kind dma
  }
  engine mul {
    kind    matrix
    a       l1
    b       l1
    acc     l1
    startup 16 cycles source sheet
    rate f32, f32 -> f32 512 flop/cycle tile 8x8x8 source sheet
    rate f16, f16 -> f32 2048 flop/cycle tile 16x16x16 source sheet
  }
  engine vec {
    kind    vector
    mem     l1
    startup 8 cycles source sheet
    rate f32 basic 64 element/cycle source sheet
    rate f32 transcendental 16 element/cycle source sheet
    rate f32 divide 16 element/cycle source sheet
    rate f32 reduce 64 element/cycle source sheet
    rate f32 sort 16 element/cycle source sheet
    rate i32 basic 64 element/cycle source sheet
    casts f32 -> f16, f16 -> f32
  }

  path gm -> l1 {
    engine  dma
    rate    128 B/cycle source sheet
    startup 300 cycles  source sheet
    dims    3           source sheet
  }
  path l1 -> gm {
    engine  dma
    rate    128 B/cycle source sheet
    startup 300 cycles  source sheet
    dims    3           source sheet
  }
}
`

func ex(body string) string {
	return "chip \"x\" {\n  extends \"example\"\n  " + body + "\n}\n"
}

// The codes of this package. Those below 030 are about a file, the others about what it says.
var (
	codeChar = diag.Register("CHIP001", "A character or string that the language does not have.",
		ex(`cores 4 @ source sheet`))
	codeSyntax = diag.Register("CHIP002", "Braces do not match, or a block has no name.",
		"chip \"x\" {\n  cores 4\n")
	codeKey = diag.Register("CHIP003", "A word that the block does not have. Nothing is ignored.",
		ex(`croes 4 source sheet`))
	codeUnit = diag.Register("CHIP004", "A unit that does not exist, or that measures something else.",
		ex(`clock 1 GB source sheet`))
	codeNoUnit = diag.Register("CHIP005", "A number without its unit.",
		ex(`clock 1 source sheet`))
	codeNoSource = diag.Register("CHIP006", "A number that nobody is named for: add source, derived or assumed.",
		ex(`clock 1 GHz`))
	codeSource = diag.Register("CHIP007", "A source that the file does not declare.",
		ex(`clock 1 GHz source sheat`))
	codeMissing = diag.Register("CHIP008", "Something required is not stated. There are no defaults for numbers.",
		ex(`memory ub { scope core }`))
	codeTwice = diag.Register("CHIP009", "The same thing is stated twice.",
		ex("cores 4 source sheet\n  cores 8 source sheet"))
	codeArgument = diag.Register("CHIP010", "Something else was expected here.",
		ex(`cores "four" source sheet`))
	codeWord = diag.Register("CHIP011", "A word from a fixed list was expected.",
		ex(`family decupled`))
	codeFormat = diag.Register("CHIP012", "A number format that does not exist.",
		ex(`peak fp16 2 TFLOPS source sheet`))
	codeMemory = diag.Register("CHIP013", "The name of a memory that the chip does not have.",
		ex(`path gm -> l2 { engine dma; rate 1 B/cycle source sheet; startup 0 cycles source sheet; dims 2 source sheet }`))
	codeEngine = diag.Register("CHIP014", "The name of an engine that the chip does not have, or that is of another kind.",
		ex(`path gm -> l1 { engine vec }`))
	codeRange = diag.Register("CHIP015", "A number out of range: zero, not whole, or too large.",
		ex(`cores 0 source sheet`))
	codeExtends = diag.Register("CHIP016", "The file that this one extends is not there, or extends this one.",
		"chip \"x\" {\n  extends \"x\"\n}\n")
	codeOneChip = diag.Register("CHIP017", "A file describes one chip and nothing else.",
		"core 4\n")
	codeTooBig = diag.Register("CHIP018", "The file is too large, or its blocks nest too deep.",
		"a { a { a { a { a { a { a { a { a { } } } } } } } } }\n")
	codeWithout = diag.Register("CHIP019", "without names nothing that the extended file has.",
		ex(`without memory l9`))
	codeEmpty = diag.Register("CHIP020", "A text, reason or citation that says nothing.",
		ex(`clock 1 GHz assumed ""`))
	codeUnknown = diag.Register("CHIP021", "No chip of this name is shipped. It comes from a command line, not from a file.", "")

	codeGlobal = diag.Register("CHIP030", "A chip has exactly one global memory.",
		ex(`memory gm { role scratch }`))
	codeReach = diag.Register("CHIP031", "Data cannot get into or out of a memory.",
		ex(`without path l1 -> gm`))
	codeRole = diag.Register("CHIP032", "An engine uses a memory that does not have the role for it.",
		ex(`memory l1 { role scratch, matrix_a, matrix_b, accumulator }`))
	codeVector = diag.Register("CHIP033", "A rate is missing: f32 in all classes, i32 in basic, a float format in all but sort.",
		ex(`engine vec { without rate f32 divide }`))
	codeMatmul = diag.Register("CHIP034", "A chip must be able to multiply f32 matrices, so that every model runs on it.",
		ex(`engine mul { without rate f32, f32 -> f32 }`))
	codePeak = diag.Register("CHIP035", "The rates, cores and clock do not give the peak that is quoted: a warning from 2 %, an error from 25 %.",
		ex(`peak f16 20 TFLOPS source sheet`))
	codeTile = diag.Register("CHIP036", "One step of a matrix engine does not fit into its memories.",
		ex(`engine mul { rate f32, f32 -> f32 512 flop/cycle tile 1024x1024x1024 source sheet }`))
	codeRatio = diag.Register("CHIP037", "Rates of two formats that no matrix unit has side by side: the narrower is as fast, or twice as fast for half the bits.",
		ex(`engine mul { rate i8, i8 -> i32 100 flop/cycle tile 16x16x16 source sheet }`))
	codeLacks = diag.Register("CHIP038", "The chip is said to lack a format that it has a rate for.",
		ex(`lacks f16`))
	codePrecision = diag.Register("CHIP039", "A precision needs a matrix rate or a conversion that the chip does not have.",
		ex(`auto fp8`))
	codeDerate = diag.Register("CHIP040", "A derate for something that the chip does not have.",
		ex(`derate memory l9 80 % source sheet`))
	codeUnused = diag.Register("CHIP041", "Something is declared and never used.",
		ex(`engine dma2 { kind dma }`))
	codeCache = diag.Register("CHIP042", "A cache that is addressed by a path or an engine, or caches itself or another cache's place.",
		ex("memory l2 { scope card; role cache; size 1 MiB source sheet; caches l2 }"))
	codeName = diag.Register("CHIP043", "The chip's name differs from the name of its file.",
		"chip \"y\" {\n  extends \"example\"\n}\n")
	codePath = diag.Register("CHIP044", "A path from a memory to itself.",
		ex(`path l1 -> l1 { engine dma; rate 1 B/cycle source sheet; startup 0 cycles source sheet; dims 2 source sheet }`))
	codeContested = diag.Register("CHIP045", "A contradiction between sources that names no number of the file, or none that differs.",
		ex(`contested "launch" { also 5 us reported "x"; why "y" }`))
	codeAccept = diag.Register("CHIP046", "An answer to a warning that does not exist or did not come.",
		ex(`accept CHIP999 "because"`))
	codeTops = diag.Register("CHIP047", "A peak of an integer format in TFLOPS, or of a float format in TOPS: one of the two is a slip.",
		ex(`peak f16 8.2 TOPS source sheet`))
	codeCoreSide = diag.Register("CHIP048", "A bandwidth of memory that is what the cores can take, not what the memory gives; or cores that cannot take what it gives.",
		ex(`memory gm { bandwidth 512 GB/s derived "128 B/cycle x 4 cores x 1 GHz" }`))
	codeReached = diag.Register("CHIP049", "More was measured than the peak allows, or a measured part is of a peak that nobody published.",
		ex(`reached f16 9 TFLOPS measured "me"`))
	codeLink = diag.Register("CHIP050", "A link's bandwidth that looks like both directions together, or like bits.",
		ex(`link net { scope cluster; topology switch; peers 8 source sheet; bandwidth 400 GB/s source sheet; latency 5 us source sheet; library "x" }`))
	codeSize = diag.Register("CHIP051", "A size that looks like another unit: on-chip memories come in KiB and MiB.",
		ex(`memory l1 { size 1 MB source sheet }`))
	codeField = diag.Register("CHIP052", "A number far from that of any accelerator: a slip of a unit or of what is counted.",
		ex(`cores 8192 source sheet "lanes"`))
	codeText = diag.Register("CHIP053", "The citation says something else than the number: another figure, sparsity, both directions.",
		ex(`memory gm { bandwidth 400 GB/s reported "400 or 800 GB/s" }`))
	codeCacheRate = diag.Register("CHIP054", "A cache that is slower or answers later than the memory behind it.",
		ex(`memory l2 { scope card; role cache; size 1 MiB source sheet; caches gm; bandwidth 100 GB/s source sheet }`))
	codeLevel = diag.Register("CHIP055", "Figures for die, device and card that do not go together.",
		ex("peak f16 8.2 TFLOPS source sheet\n  dies 2 source sheet { numbers package; bandwidth 1 GB/s source sheet; latency 1 us source sheet; local 50 % source sheet }\n  cores 5 source sheet"))
	codeStep = diag.Register("CHIP056", "A matrix rate, tile or accumulator that does not go with the steps of the unit: no whole number of them, or another than that of its other formats.",
		ex(`engine mul { rate f16, f16 -> f32 3000 flop/cycle tile 16x16x16 source sheet }`))
	codeTotal  = diag.Register("CHIP057", "A total quoted for a system is not its count times the chip's figure. It stands in a system's file.", "")
	codeServed = diag.Register("CHIP058", "A rate of serving that counts tokens nobody computed, comes from a simulation, or contradicts its batch and time of a token.",
		ex(`served "a model, decode" { rate 1000 token/s source sheet; per device; batch 256 source sheet; devices 16 source sheet; tpot 8 ms source sheet }`))
)
