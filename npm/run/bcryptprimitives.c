/* bcryptprimitives.dll for Wine 8, which lacks it: sharp's library needs its one function. The source uses no header and no C
   library, so that Zig compiles nothing else. */

/* RtlGenRandom under the name that advapi32.dll exports. */
unsigned char SystemFunction036(void* buffer, unsigned long length);

__declspec(dllexport) int ProcessPrng(unsigned char* buffer, unsigned long long length) {
  return SystemFunction036(buffer, (unsigned long)length);
}

/* What Windows calls when the library is loaded. */
int DllMainCRTStartup(void* library, unsigned long reason, void* reserved) {
  return 1;
}
