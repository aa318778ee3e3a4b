package plan

import "apogee/ir/diag"

// What is wrong with a plan's text, its file, or the plan itself. The examples are plan texts; the tests read and check each.
var (
	codeSyntax = diag.Register("PLAN001", "The text is not what stands here in a plan: see docs/plan.md for the form of each line.",
		"apogee-plan 1\nmemory gm size many align 32\n")
	codeName = diag.Register("PLAN002", "A name is used that the plan does not declare before.",
		"apogee-plan 1\nqueue s scalar\nkernel k regs 3 flops 0 {\ncode\n 0: t end\n}\n")
	codeNest = diag.Register("PLAN003", "A kernel, loop or label is not closed or not in order.",
		"apogee-plan 1\nkernel k regs 3 flops 0 {\ncode\n")
	codeTextVersion = diag.Register("PLAN004", "The text is not a plan of a version that this program reads.",
		"apogee-plan 99\n")

	codeNotPlan = diag.Register("PLAN010", "The file does not begin as a plan does: it is something else, or damaged. No text shows it: plans are binary.", "")
	codeVersion = diag.Register("PLAN011", "The plan was written by another version of the program: use that one, or compile the model again. No text shows it: plans are binary.", "")
	codeShort   = diag.Register("PLAN012", "The plan ends too early or goes on too long: copy it again or compile the model again. No text shows it: plans are binary.", "")
	codeSum     = diag.Register("PLAN013", "The plan's bytes do not match its checksum: copy it again or compile the model again. No text shows it: plans are binary.", "")
	codeContent = diag.Register("PLAN014", "The plan's bytes are whole but make no sense: it was not written by this program. No text shows it: plans are binary.", "")

	codeIndex = diag.Register("PLAN020", "A number refers to a memory, queue, register, parameter, local, flag, kernel or buffer that is not there.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\ncode\n0: s set r5 = add(1, 2)\n}\n")
	codeSize = diag.Register("PLAN021", "A size, address or count is negative, too large, or does not fit what it is a size of.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nbuffer b input f32 [16] at 0x0 size 60 steps 0..0\n")
	codeOperand = diag.Register("PLAN022", "An instruction or launch lacks an operand, or has one that it does not take.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\ncode\n0: in dma_in\n}\n")
	codeLoop = diag.Register("PLAN023", "A loop, an if, an else and their end do not belong together.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 4 flops 0 {\ncode\n0: s loop r3 from 0 times 2\n}\n")
	codeAlign = diag.Register("PLAN030", "An address is not a multiple of what its memory asks for.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nbuffer b input f32 [16] at 0x8 size 64 steps 0..0\n")
	codeOverlap = diag.Register("PLAN031", "Two buffers or locals share bytes while both are alive.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nbuffer a input f32 [16] at 0x0 size 64 steps 0..0\nbuffer b input f32 [16] at 0x20 size 64 steps 0..0\n")
	codeMemory = diag.Register("PLAN032", "A local does not lie within its memory, or is used outside its lifetime.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  local a in l1 at 0x0 size 8192 slots 1 live 0..0\ncode\n}\n")
	codeRange = diag.Register("PLAN033", "An instruction reaches bytes outside the parameter or local that its tile names.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  param x f32 size 64 read\n  local a in l1 at 0x0 size 128 slots 1 live 0..0\ncode\n0: in dma_in l1:a[0] f32{17:4} <- gm:x[0] f32{17:4}\n}\nbuffer b input f32 [16] at 0x0 size 64 steps 0..0\nstep s k grid 1 (b)\n")
	codeQueue = diag.Register("PLAN034", "An instruction is on a queue whose engine does not do such work.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  param x f32 size 64 read\n  local a in l1 at 0x0 size 128 slots 1 live 0..0\ncode\n0: s dma_in l1:a[0] f32{16:4} <- gm:x[0] f32{16:4}\n}\n")
	codePath = diag.Register("PLAN035", "Data moves between two memories along a path that the chip does not have, or that does not convert so.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  local a in l1 at 0x0 size 128 slots 1 live 0..0\ncode\n0: in dma_local l1:a[0] f32{16:4} <- l1:a[64] f32{16:4}\n}\n")
	codeFlag = diag.Register("PLAN036", "A flag does not order the queues that it is used on, or is not back at its credits when a block ends.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  flag f from in to out credits 0\ncode\n0: in signal f\n}\nstep s k grid 1 ()\n")
	codeFormat = diag.Register("PLAN037", "An engine of the chip does not take these formats, or two tiles that must have one format have two.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 4 flops 0 {\n  param x f32 size 64 read\ncode\n0: s load_scalar r3 <- gm:x[0] f32{1:4}\n}\n")
	codeShape = diag.Register("PLAN038", "The tiles of an instruction do not have the sizes that belong together.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  param x f32 size 64 read\n  local a in l1 at 0x0 size 128 slots 1 live 0..0\ncode\n0: in dma_in l1:a[0] f32{8:4} <- gm:x[0] f32{16:4}\n}\n")
	codeLife = diag.Register("PLAN039", "A buffer is used before or after the steps that it lives in, read where nothing was written to it, or written though it must not be.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 3 flops 0 {\n  param x f32 size 64 write\ncode\n}\nbuffer b weight f32 [16] at 0x0 size 64 steps 0..0\nstep s k grid 1 (b)\n")
	codeUnproven = diag.Register("PLAN040", "Nothing shows that an instruction stays inside what its tile names: a remark, since data may decide it.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nkernel k regs 5 flops 0 {\n  param x f32 size 64 read\n  param n i32 size 4 read\n  local a in l1 at 0x0 size 128 slots 1 live 0..1\ncode\n0: s load_scalar r3 <- gm:n[0] i32{1:4} assume=3(1/1) \"three\"\n1: in dma_in l1:a[0] f32{r3:4} <- gm:x[0] f32{r3:4}\n}\nbuffer b input f32 [16] at 0x0 size 64 steps 0..0\nbuffer c input i32 [1] at 0x40 size 4 steps 0..0\nstep s k grid 1 (b, c)\n")
	codeCapacity = diag.Register("PLAN041", "The plan needs more global memory than the chip has: it can be timed, not run.",
		"apogee-plan 1\nmemory gm size 1048576 align 32\nmemory l1 size 4096 align 32\nqueue s scalar\nqueue in dma\nqueue out dma\nbuffer w weight f32 [1048576] at 0x0 size 4194304 steps 0..0\n")
)
